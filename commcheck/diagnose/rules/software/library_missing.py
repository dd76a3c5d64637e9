"""A shared library or module that the job needs is not found.

**What you see**
An ImportError or a line of the dynamic loader that names a file: `libnccl.so.2: cannot open shared object
file`, `No module named 'horovod'`, `Failed to open libibverbs.so`.

**Why it happens**
The library is not installed on this host, or lies where the loader does not look (another environment, a
container without it, LD_LIBRARY_PATH lost by ssh or mpirun). On a cluster one host may lack what the others
have.

**How to fix**
Install the package in the environment that the ranks really use, or pass its path on (LD_LIBRARY_PATH, mpirun
-x).

**How to confirm**
On the host and in the environment of the failing rank: `python -c 'import NAME'`, or `ldconfig -p | grep NAME`.
"""

from commcheck.diagnose.consequences import PEERS_SEE
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

_IMPORT = (Symptom.BUILD_IMPORT_ERROR,)

RULE = Rule(
    cause="library-missing",
    code="CC911",
    title="A shared library or module that the job needs is not found",
    stage=Stage.BUILD,
    symptoms=(Symptom.BUILD_IMPORT_ERROR, Symptom.SETUP_FAILURE, Symptom.BUILD_INSTALL_FAILURE),
    fixes=(
        (FixPattern.MISSING_DEPENDENCY, "Install the library that the line names, in the environment of every rank."),
        (
            FixPattern.DEPENDENCY_PATH,
            "Put its directory on LD_LIBRARY_PATH (or PYTHONPATH) of every rank; launchers over ssh do not pass them on by themselves.",
        ),
    ),
    signatures=(
        Signature(
            # What a library says that tries whether another one is there is no failure; nor is what it warns of.
            pattern=r"^(?!.*dlerror)(?!.*NCCL INFO)(?!.*libnccl-(?:net|tuner|profiler|env))(?!.*\b(?:User|Runtime)?Warning: ).*?\.so(?:\.\d+)*: cannot open shared object file",
            literal="cannot open shared object file",
            source="glibc: elf/dl-load.c",
            positive="ImportError: libcudnn.so.8: cannot open shared object file: No such file or directory",
            negative="NCCL INFO NET/Plugin : dlerror=libnccl-net.so: cannot open shared object file: No such file or directory",
            weight=0.85,
            symptoms=_IMPORT,
        ),
        Signature(
            pattern=r"(?:ModuleNotFoundError|ImportError): No module named '?[\w.]+",
            literal="no module named",
            source="Python import machinery",
            positive="ModuleNotFoundError: No module named 'deepspeed'",
            negative="module named 'x' loaded",
            weight=0.8,
            symptoms=_IMPORT,
        ),
        Signature(
            pattern=r"Failed to open lib(?:ibverbs|mlx5|cuda|nvidia-ml)\S*",
            literal="failed to open lib",
            source="nccl: src/misc/ibvsymbols.cc, cudawrap.cc",
            positive="trainer-a:41:41 [0] misc/ibvwrap.cu:61 WARN Failed to open libibverbs.so[.1]",
            negative="opened libibverbs.so",
            weight=0.25,
        ),
        Signature(
            pattern=r"^(?!.*dlerror).*[Cc]ould not load (?:dynamic )?library '?lib\w+|'?lib\w+\.so\S*? not found in library path",
            literal="could not load dynamic lib | could not load lib | not found in library path",
            source="cuDNN; torch7",
            positive="Could not load library libcudnn_ops_infer.so.8. Error: libcudnn_ops_infer.so.8: No such file or directory",
            negative="Could not load dynamic library 'libnvinfer.so.7'; dlerror: libnvinfer.so.7: not found",
            weight=0.75,
            symptoms=_IMPORT,
        ),
        Signature(
            pattern=r"Could not load dynamic library '?lib\w+.*dlerror",
            literal="could not load dynamic lib",
            source="tensorflow: dso_loader.cc (it goes on without it)",
            positive="Could not load dynamic library 'libnccl.so.2'; dlerror: libnccl.so.2: not found",
            negative="Could not load library libcudnn_ops_infer.so.8.",
            weight=0.35,
            symptoms=_IMPORT,
        ),
        Signature(
            pattern=r"ImportError: cannot import name '?\w+'? from",
            literal="cannot import name",
            symptoms=_IMPORT,
            source="Python import machinery (another version, or a part that was not built)",
            positive="ImportError: cannot import name 'FusedAdam' from 'apex.optimizers' (/opt/x/apex/__init__.py)",
            negative="import name resolved",
            weight=0.7,
        ),
    ),
    explains=PEERS_SEE,
)
