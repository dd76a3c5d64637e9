"""The three closed vocabularies of the study: stages, symptoms, fix patterns.

Source: Liu et al., TOSEM 2023 (arXiv 2112.06222) and its replication package; the ids are ours and stable.
The texts and the counts that belong to them are data, in `commcheck.catalog`.
"""

from enum import StrEnum


class Stage(StrEnum):
    """Where in a job's life a failure shows (the study's top level)."""

    BUILD = "build"
    SETUP = "setup"
    PREPARATION = "preparation"
    TRAINING = "training"


class Symptom(StrEnum):
    """The thirty symptom ids. Never renamed."""

    BUILD_INSTALL_FAILURE = "build-install-failure"
    BUILD_IMPORT_ERROR = "build-import-error"
    SETUP_FAILURE = "setup-failure"
    SETUP_HANG_TIMEOUT = "setup-hang-timeout"
    SETUP_UNEXPECTED_PROTOCOL = "setup-unexpected-protocol"
    PREP_MODEL_LOADING_FAILURE = "prep-model-loading-failure"
    PREP_DATA_LOADING_FAILURE = "prep-data-loading-failure"
    PREP_COMMUNICATION_ERROR = "prep-communication-error"
    PREP_HANG_TIMEOUT = "prep-hang-timeout"
    PREP_DEVICE_ERROR = "prep-device-error"
    PREP_ITERATION_FAILURE = "prep-iteration-failure"
    PREP_OTHER = "prep-other"
    TRAIN_COMMUNICATION_ERROR = "train-communication-error"
    TRAIN_DEVICE_ERROR = "train-device-error"
    TRAIN_GRAPH_EXECUTION_ERROR = "train-graph-execution-error"
    TRAIN_TENSOR_MISMATCH = "train-tensor-mismatch"
    TRAIN_OUT_OF_MEMORY = "train-out-of-memory"
    TRAIN_CHECKPOINT_UNFUNCTIONING = "train-checkpoint-unfunctioning"
    TRAIN_SEGMENTATION_FAULT = "train-segmentation-fault"
    TRAIN_ATTRIBUTE_NOT_FOUND = "train-attribute-not-found"
    TRAIN_MEMORY_ISSUE = "train-memory-issue"
    TRAIN_PATH_ERROR = "train-path-error"
    TRAIN_NOT_IMPLEMENTED = "train-not-implemented"
    TRAIN_OTHER_FAILURE = "train-other-failure"
    PERF_HANG = "perf-hang"
    PERF_UNEXPECTED_PARALLELIZATION = "perf-unexpected-parallelization"
    PERF_LOW_EFFICIENCY = "perf-low-efficiency"
    PERF_UNEXPECTED_RESULT = "perf-unexpected-result"
    PERF_NON_CONVERGENCE = "perf-non-convergence"
    PERF_OTHER = "perf-other"


class FixPattern(StrEnum):
    """Classes of repair, with the study's names (taxonomy, section 2)."""

    COMMUNICATION_CONFIGURATION = "fix-communication-configuration"
    NETWORK_SETTING = "fix-network-setting"
    DEVICE_CONSISTENCY = "fix-device-consistency"
    DEPENDENCY_VERSION = "fix-dependency-version"
    FRAMEWORK_VERSION = "fix-framework-version"
    DEVICE_ASSIGNMENT = "fix-device-assignment"
    DISTRIBUTED_API_USAGE = "fix-distributed-api-usage"
    MISSING_DEPENDENCY = "install-missing-dependency"
    DEPENDENCY_PATH = "fix-dependency-path"
    BUILD_CONFIGURATION = "fix-build-configuration"
    BATCH_OR_PARTITION = "fix-batch-or-partition"
    BEHAVIOR_LOGIC = "fix-behavior-logic"
    MEMORY_OR_CORE_SETTING = "fix-memory-or-core-setting"
    SAVE_FROM_ONE_RANK = "save-from-one-rank"
    CHANGE_HARDWARE = "change-hardware"
    MODEL_CONSTRUCTION = "fix-model-construction"
    COMMAND_LINE = "fix-command-line"
