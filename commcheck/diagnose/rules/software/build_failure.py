"""A package of the distributed stack does not compile or install.

**What you see**
pip, CMake or a just-in-time compiler stops: `Could NOT find MPI`, `error: command 'gcc' failed`, `Failed
building wheel`, `Error building extension`.

**Why it happens**
The compiler, CUDA toolkit, MPI or headers are missing, too new or too old for the package; the backend that is
wanted may then be left out without a word.

**How to fix**
Install what the first error of the compiler names; take a prebuilt wheel where there is one; switch off the
part that is not needed (HOROVOD_WITHOUT_MPI=1 and the like).

**How to confirm**
Look at the first error of the build output, not its last line; `nvcc --version`, `mpicxx --version`, `cmake
--version`.
"""

from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

RULE = Rule(
    cause="build-failure",
    code="CC916",
    title="A package of the distributed stack does not compile or install",
    stage=Stage.BUILD,
    symptoms=(Symptom.BUILD_INSTALL_FAILURE,),
    fixes=(
        (
            FixPattern.BUILD_CONFIGURATION,
            "Set the build options for what is installed (or leave the missing part out on purpose).",
        ),
        (FixPattern.MISSING_DEPENDENCY, "Install the compiler, toolkit or headers that the first error names."),
        (FixPattern.DEPENDENCY_VERSION, "Take a version of the package that knows this framework and compiler."),
    ),
    signatures=(
        Signature(
            pattern=r"[Cc]ould NOT find (?:MPI|NCCL|CUDA|Gloo|Tensorflow|Pytorch|Mxnet)\w*",
            literal="could not find",
            source="CMake: FindPackageHandleStandardArgs",
            positive="CMake Error: Could NOT find NCCL_MAJOR_VERSION (missing: NCCL_LIBRARY)",
            negative="Could NOT find CCache",
            weight=0.85,
        ),
        Signature(
            pattern=r"(?:Failed building wheel|Building wheel .*error|ERROR: Failed to build|Could not build wheels) ?(?:for )?\S*",
            literal="building wheel | failed to build | build wheels",
            source="pip",
            positive="ERROR: Failed building wheel for horovod",
            negative="Building wheel for horovod (setup.py): finished",
            weight=0.8,
        ),
        Signature(
            pattern=r"\bin _run_ninja_build\b|Error (?:building extension|compiling objects for extension)|Ninja is required to load C\+\+ extensions|Unable to (?:JIT )?load the \w+ op"
            r"|ninja: build stopped|Command '\['ninja', '-v'|error: (?:subprocess-exited-with-error|legacy-install-failure|metadata-generation-failed)",
            literal="in _run_ninja_build | error building extension | error compiling objects | ninja is required | unable to load the | jit load the"
            " | ninja: build stopped | command '['ninja' | subprocess-exited-with | legacy-install-failure | metadata-generation-failed",
            source="pytorch: torch/utils/cpp_extension.py; deepspeed: op_builder/builder.py",
            positive="RuntimeError: Error building extension 'fused_adam'",
            negative="Building extension module",
            weight=0.85,
        ),
        Signature(
            pattern="CMake Error (?:at|:)",
            literal="cmake error",
            source="CMake",
            positive="CMake Error at CMakeLists.txt:225 (message):",
            negative="CMake Warning at CMakeLists.txt:2",
            weight=0.75,
        ),
        Signature(
            pattern=r"error: command '?\S*(?:gcc|g\+\+|nvcc|cmake|x86_64-\S+)'? failed",
            literal="error: command",
            source="setuptools",
            positive="error: command '/usr/bin/gcc' failed with exit code 1",
            negative="error: command 'ls' failed",
            weight=0.75,
        ),
        Signature(
            pattern=r"[Nn]o such file or directory.{0,3}:? ?'?:?\S*nvcc|CUDA_HOME environment variable is not set",
            literal="nvcc | cuda_home environment variable",
            source="pytorch: torch/utils/cpp_extension.py",
            positive="OSError: CUDA_HOME environment variable is not set. Please set it to your CUDA install root.",
            negative="CUDA_HOME=/usr/local/cuda",
            weight=0.7,
        ),
        Signature(
            pattern=r"Horovod build with GPU support was requested but|HOROVOD_\w+=\S+ is invalid, supported values",
            literal="horovod build with | is invalid, supported values",
            source="horovod: CMakeLists.txt",
            positive="Horovod build with GPU support was requested but this PyTorch installation does not support CUDA.",
            negative="Horovod build started",
            weight=0.85,
        ),
    ),
)
