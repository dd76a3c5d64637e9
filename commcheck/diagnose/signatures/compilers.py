"""What compilers and linkers say of sources that do not fit the headers and libraries that they find."""

from commcheck.diagnose.signatures.table import Wording, table
from commcheck.model.taxonomy import Symptom

_QUOTED = r"['\u2018`][^'\u2019]{1,200}['\u2019]"

SIGNATURES = table(
    Wording(
        {"build-failure": 0.78},
        rf"\berror: (?:{_QUOTED} (?:was not declared in this scope|has not been declared|has no member named|is not a member of|does not name a type|undeclared)"
        rf"|there are no arguments to {_QUOTED}|no matching function for call to|no member named {_QUOTED}|use of undeclared identifier|unknown type name|identifier \"[^\"]{{1,200}}\" is undefined"
        r"|(?:namespace|class) \"[^\"]{1,200}\" has no member)",
        "in this scope | not been declared | has no member | is not a member of | name a type | undeclared | no arguments to | no matching function for | no member named | unknown type name | is undefined",
        "gcc: gcc/cp/name-lookup.cc, parser.cc, typeck.cc; clang: DiagnosticSemaKinds.td; nvcc",
        "error: 'ncclCommGetAsyncError' was not declared in this scope",
        "error: the rank was not declared",
        symptoms=(Symptom.BUILD_INSTALL_FAILURE,),
    ),
)
