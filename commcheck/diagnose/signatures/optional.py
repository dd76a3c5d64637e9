"""Libraries that something tried to open and can do without: warned of, and mostly no failure."""

from commcheck.diagnose.signatures.table import Wording, table

SIGNATURES = table(
    Wording(
        {"transport-fallback": 0.4, "library-missing": 0.38},
        r"libibverbs: Warning: couldn't (?:load driver|open config directory|stat)",
        "libibverbs: warning: couldn't",
        "rdma-core: libibverbs/dynamic_driver.c, init.c (one line for each make of card whose driver is not installed)",
        "libibverbs: Warning: couldn't load driver 'libmlx5-rdmav34.so': libmlx5-rdmav34.so: cannot open shared object file: No such file or directory",
        "libibverbs: the driver was loaded",
    ),
    Wording(
        {"library-missing": 0.35},
        r"^(?!.*libibverbs: ).*\b(?:User|Runtime)?Warning: .*\.so(?:\.\d+)*: cannot open shared object file",
        "cannot open shared object file",
        "Python: warnings around ctypes and imports, as of torchvision/io/image.py",
        "UserWarning: Failed to load image Python extension: libjpeg.so.62: cannot open shared object file: No such file or directory",
        "ImportError: libcudnn.so.8: cannot open shared object file: No such file or directory",
    ),
)
