"""The seventeen classes of repair, what each covers, and how often the study saw each for a symptom.

Source: the TOSEM 2023 study of distributed training (Liu et al., arXiv 2112.06222). The counts are tallies of the
labels in the authors' released data (637 faults; a fault with two fixes counts under both), not figures printed in
the paper. The ids and the texts are ours; where a text cites the labellers' memos, it says "in the study".
"""

from typing import NamedTuple

from commcheck.model.taxonomy import FixPattern, Symptom

P = FixPattern

TOTAL_FAULTS = 637


class FixRow(NamedTuple):
    """A fix pattern: the study's label, how many of the 637 faults it repaired (None: fewer than eight, not tallied
    over all), and what it covers."""

    pattern: FixPattern
    label: str
    faults: int | None
    covers: str


FIXES: tuple[FixRow, ...] = (
    FixRow(
        P.COMMUNICATION_CONFIGURATION,
        "fix communication configuration",
        78,
        "Settings of the communication itself: address, port, ranks and world size, backend and launcher parameters, "
        "time-outs. In the study: RPC or start time-out; distribution-strategy and cluster environment settings; "
        "backend and launcher parameters.",
    ),
    FixRow(
        P.NETWORK_SETTING,
        "fix network setting",
        32,
        "Settings of hosts and network beneath it. In the study: open a port; ssh and container port; DNS; change a "
        "host name; cloud firewall rule; unset proxy variables; choose the interface; disable peer-to-peer transport.",
    ),
    FixRow(
        P.DEVICE_CONSISTENCY,
        "fix consistency between devices",
        23,
        "Make hosts alike. In the study: the same library versions, paths and settings on every host.",
    ),
    FixRow(
        P.DEPENDENCY_VERSION,
        "fix dependency version",
        83,
        "Another version of a library beneath the framework: NCCL, MPI, CUDA, a compiler, Python.",
    ),
    FixRow(P.FRAMEWORK_VERSION, "fix framework version", 50, "Another version of the training framework itself."),
    FixRow(
        P.DEVICE_ASSIGNMENT,
        "fix device assignment",
        41,
        "Which rank uses which device: one GPU per local rank, visible devices, placement.",
    ),
    FixRow(
        P.DISTRIBUTED_API_USAGE,
        "fix distributed API usage",
        58,
        "Call the distributed API as it is meant: the same collectives in the same order with the same shapes and "
        "types on all ranks, the right wrapper, the right group.",
    ),
    FixRow(
        P.MISSING_DEPENDENCY,
        "install missing dependency",
        15,
        "Install a library or tool that is not there.",
    ),
    FixRow(
        P.DEPENDENCY_PATH,
        "fix dependency path",
        19,
        "Let the right library be found: library and module search paths, links, environments.",
    ),
    FixRow(
        P.BUILD_CONFIGURATION,
        "fix build/install configuration",
        17,
        "Build or install with the wanted parts switched on.",
    ),
    FixRow(
        P.BATCH_OR_PARTITION,
        "fix batch size/data partition",
        26,
        "Batch size and how data is shared out over ranks; every rank the same number of steps.",
    ),
    FixRow(
        P.BEHAVIOR_LOGIC,
        "fix behavior logic",
        24,
        "What the program does when: which rank does it, in which order, under which condition.",
    ),
    FixRow(
        P.MEMORY_OR_CORE_SETTING,
        "fix memory/core setting",
        18,
        "Memory, shared memory, locked memory, open files, threads and cores a process may use.",
    ),
    FixRow(
        P.SAVE_FROM_ONE_RANK,
        "save single-device model/weights only",
        20,
        "Save the inner model, from one rank.",
    ),
    FixRow(P.CHANGE_HARDWARE, "change hardware", 13, "Replace a device, card, cable or host, or use another one."),
    FixRow(
        P.MODEL_CONSTRUCTION,
        "fix model construction",
        29,
        "Build the model so that all ranks have the same parameters and use them all.",
    ),
    FixRow(P.COMMAND_LINE, "fix command line", None, "The command that installs, builds or launches."),
)
"""In the order of `FixPattern`."""

S = Symptom
COUNTS: dict[Symptom, tuple[tuple[FixPattern, int], ...]] = {
    S.BUILD_INSTALL_FAILURE: (
        (P.DEPENDENCY_VERSION, 15),
        (P.BUILD_CONFIGURATION, 9),
        (P.MISSING_DEPENDENCY, 8),
        (P.DEPENDENCY_PATH, 6),
        (P.CHANGE_HARDWARE, 5),
        (P.COMMAND_LINE, 2),
        (P.FRAMEWORK_VERSION, 2),
    ),
    S.BUILD_IMPORT_ERROR: (
        (P.DEPENDENCY_PATH, 7),
        (P.DEPENDENCY_VERSION, 6),
        (P.FRAMEWORK_VERSION, 5),
        (P.BUILD_CONFIGURATION, 3),
        (P.DEVICE_CONSISTENCY, 2),
    ),
    S.SETUP_FAILURE: (
        (P.COMMUNICATION_CONFIGURATION, 31),
        (P.NETWORK_SETTING, 16),
        (P.DEPENDENCY_VERSION, 12),
        (P.FRAMEWORK_VERSION, 6),
        (P.DEVICE_CONSISTENCY, 5),
        (P.DEVICE_ASSIGNMENT, 5),
        (P.DISTRIBUTED_API_USAGE, 5),
        (P.MISSING_DEPENDENCY, 3),
        (P.DEPENDENCY_PATH, 2),
    ),
    S.SETUP_HANG_TIMEOUT: (
        (P.COMMUNICATION_CONFIGURATION, 15),
        (P.NETWORK_SETTING, 9),
        (P.DEPENDENCY_VERSION, 7),
        (P.DEVICE_CONSISTENCY, 6),
        (P.FRAMEWORK_VERSION, 2),
    ),
    S.SETUP_UNEXPECTED_PROTOCOL: (
        (P.DEPENDENCY_VERSION, 1),
        (P.NETWORK_SETTING, 1),
        (P.MISSING_DEPENDENCY, 1),
        (P.COMMUNICATION_CONFIGURATION, 1),
    ),
    S.PREP_MODEL_LOADING_FAILURE: ((P.DISTRIBUTED_API_USAGE, 3), (P.FRAMEWORK_VERSION, 2)),
    S.PREP_DATA_LOADING_FAILURE: ((P.DISTRIBUTED_API_USAGE, 2),),
    S.PREP_COMMUNICATION_ERROR: (
        (P.COMMUNICATION_CONFIGURATION, 2),
        (P.DISTRIBUTED_API_USAGE, 2),
        (P.FRAMEWORK_VERSION, 2),
    ),
    S.PREP_HANG_TIMEOUT: (
        (P.COMMUNICATION_CONFIGURATION, 3),
        (P.NETWORK_SETTING, 1),
        (P.FRAMEWORK_VERSION, 1),
        (P.MEMORY_OR_CORE_SETTING, 1),
    ),
    S.PREP_DEVICE_ERROR: ((P.DEVICE_ASSIGNMENT, 4),),
    S.PREP_ITERATION_FAILURE: (
        (P.COMMUNICATION_CONFIGURATION, 1),
        (P.DISTRIBUTED_API_USAGE, 1),
        (P.BATCH_OR_PARTITION, 1),
        (P.DEVICE_ASSIGNMENT, 1),
    ),
    S.PREP_OTHER: ((P.BATCH_OR_PARTITION, 2),),
    S.TRAIN_COMMUNICATION_ERROR: (
        (P.DISTRIBUTED_API_USAGE, 13),
        (P.BEHAVIOR_LOGIC, 4),
        (P.COMMUNICATION_CONFIGURATION, 4),
        (P.FRAMEWORK_VERSION, 4),
        (P.MODEL_CONSTRUCTION, 3),
        (P.DEPENDENCY_VERSION, 2),
    ),
    S.TRAIN_DEVICE_ERROR: (
        (P.DEVICE_ASSIGNMENT, 8),
        (P.DEPENDENCY_VERSION, 5),
        (P.COMMUNICATION_CONFIGURATION, 3),
        (P.DISTRIBUTED_API_USAGE, 3),
        (P.MEMORY_OR_CORE_SETTING, 2),
        (P.BEHAVIOR_LOGIC, 2),
        (P.MODEL_CONSTRUCTION, 2),
    ),
    S.TRAIN_GRAPH_EXECUTION_ERROR: (
        (P.DISTRIBUTED_API_USAGE, 5),
        (P.DEPENDENCY_VERSION, 4),
        (P.MODEL_CONSTRUCTION, 3),
    ),
    S.TRAIN_TENSOR_MISMATCH: (
        (P.MODEL_CONSTRUCTION, 4),
        (P.FRAMEWORK_VERSION, 2),
        (P.DISTRIBUTED_API_USAGE, 2),
        (P.BATCH_OR_PARTITION, 2),
    ),
    S.TRAIN_OUT_OF_MEMORY: (
        (P.MEMORY_OR_CORE_SETTING, 6),
        (P.BATCH_OR_PARTITION, 5),
        (P.DEPENDENCY_VERSION, 2),
        (P.DEVICE_ASSIGNMENT, 2),
    ),
    S.TRAIN_CHECKPOINT_UNFUNCTIONING: ((P.SAVE_FROM_ONE_RANK, 17), (P.BEHAVIOR_LOGIC, 2)),
    S.TRAIN_SEGMENTATION_FAULT: (
        (P.DEPENDENCY_VERSION, 7),
        (P.FRAMEWORK_VERSION, 3),
        (P.BUILD_CONFIGURATION, 2),
    ),
    S.TRAIN_ATTRIBUTE_NOT_FOUND: ((P.FRAMEWORK_VERSION, 3), (P.DISTRIBUTED_API_USAGE, 3)),
    S.TRAIN_MEMORY_ISSUE: ((P.MEMORY_OR_CORE_SETTING, 2),),
    S.TRAIN_PATH_ERROR: ((P.DEVICE_CONSISTENCY, 3),),
    S.TRAIN_NOT_IMPLEMENTED: ((P.DISTRIBUTED_API_USAGE, 2), (P.FRAMEWORK_VERSION, 2)),
    S.TRAIN_OTHER_FAILURE: ((P.DEPENDENCY_VERSION, 2), (P.FRAMEWORK_VERSION, 2), (P.DISTRIBUTED_API_USAGE, 2)),
    S.PERF_HANG: (
        (P.COMMUNICATION_CONFIGURATION, 11),
        (P.DEPENDENCY_VERSION, 7),
        (P.BEHAVIOR_LOGIC, 5),
        (P.DEVICE_CONSISTENCY, 4),
        (P.BATCH_OR_PARTITION, 3),
        (P.NETWORK_SETTING, 3),
        (P.DEVICE_ASSIGNMENT, 3),
        (P.MEMORY_OR_CORE_SETTING, 2),
        (P.FRAMEWORK_VERSION, 2),
    ),
    S.PERF_UNEXPECTED_PARALLELIZATION: (
        (P.DEVICE_ASSIGNMENT, 12),
        (P.DEPENDENCY_VERSION, 6),
        (P.DISTRIBUTED_API_USAGE, 5),
        (P.FRAMEWORK_VERSION, 4),
        (P.MODEL_CONSTRUCTION, 4),
        (P.BEHAVIOR_LOGIC, 2),
    ),
    S.PERF_LOW_EFFICIENCY: (
        (P.BATCH_OR_PARTITION, 9),
        (P.MODEL_CONSTRUCTION, 5),
        (P.COMMUNICATION_CONFIGURATION, 4),
        (P.CHANGE_HARDWARE, 4),
        (P.DISTRIBUTED_API_USAGE, 3),
        (P.FRAMEWORK_VERSION, 2),
        (P.DEVICE_ASSIGNMENT, 2),
        (P.DEPENDENCY_VERSION, 2),
    ),
    S.PERF_UNEXPECTED_RESULT: (
        (P.DISTRIBUTED_API_USAGE, 3),
        (P.BEHAVIOR_LOGIC, 3),
        (P.MODEL_CONSTRUCTION, 3),
    ),
    S.PERF_NON_CONVERGENCE: (),
    S.PERF_OTHER: ((P.DEPENDENCY_PATH, 1), (P.BEHAVIOR_LOGIC, 1), (P.DISTRIBUTED_API_USAGE, 1)),
}
"""Faults per symptom and pattern, the frequent first. Patterns outside the seventeen are left out (learning rate,
data set, loss function and their like), so a row may sum to less than the symptom's faults, or to more: two fixes."""


def counts(symptom: Symptom) -> tuple[tuple[FixPattern, int], ...]:
    """The fix patterns of a symptom with their counts, the frequent first."""
    return COUNTS[symptom]


def frequency(symptom: Symptom, pattern: FixPattern, framework: str = "") -> str:
    """How often the study saw `pattern` repair `symptom`, as "31 of the study's 85 setup failures"; "" if unknown.

    `framework`: one of `commcheck.catalog.symptoms.FRAMEWORKS`; its own share is added, for half of the data is
    Horovod's and says little about the others."""
    from commcheck.catalog.symptoms import FRAMEWORKS, row

    for known, count in COUNTS[symptom]:
        if known is pattern:
            what = row(symptom)
            told = f"{count} of the study's {what.faults} {what.plural}"
            if framework not in FRAMEWORKS:
                return told
            from commcheck.catalog.tallies import BY_FRAMEWORK

            at = FRAMEWORKS.index(framework)
            if not what.frameworks[at]:
                return f"{told}, none of them {framework}'s"
            return f"{told}; of {framework}'s {what.frameworks[at]}, {BY_FRAMEWORK[symptom][pattern][at]}"
    return ""


def fix_row(pattern: FixPattern) -> FixRow:
    """The row of a fix pattern."""
    return next(row for row in FIXES if row.pattern is pattern)
