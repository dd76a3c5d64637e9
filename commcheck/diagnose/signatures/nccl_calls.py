"""NCCL: warnings about how the program calls it: groups, windows, one-sided operations, communicators that grow or split.

Read in the sources of the releases 2.10.3 to 2.30.7; `versions` are those that have one of the wordings."""

from commcheck.diagnose.signatures.table import table, warned
from commcheck.model.taxonomy import Symptom

_AT = "trainer-a:41:77 [0] "

SIGNATURES = table(
    warned(
        {"process-group-misuse": 0.66},
        ("ncclRedOpDestroy : ", "ncclCommGrow: ", "Child comms (nRanks #) fails to share", "Split shares resources, but parent",
         "Comm config netName * does not match the parent", "Illegal to have some communicators in graph mode",
         "Either none or all communicators in a ncclGroup()",
         "ncclSimInfo_t argument not initialized", "Invalig config", "Invalid arguments comm", "Invalid argument comm", "Invalid handle",
         "bcastGrowHandle:"),
        "nccl: src/init.cc, src/enqueue.cc, src/group.cc, src/plugin/net.cc",
        _AT + "init.cc:2900 NCCL WARN ncclCommGrow: total ranks 3 is less than current ranks 4",
        "nccl >= 2.10",
    ),
    warned(
        {"process-group-misuse": 0.62},
        ("Window address must be suitably aligned", "Communicator does not support symmetric memory", "User requested GIN",
         "Requested number of exclusive GIN contexts", "No shared contexts are available", "invalid pointer", "*: invalid pointer #",
         "Cannot get communicator properties", "Cannot create device communicator", "window has a NULL user pointer",
         "Could not find communicator matching window", "The provided lsaRank", "peer # is not within valid range",
         "Cannot create worldGinBarrier", "ncclPutSignal: ", "ncclSignal: ", "ncclWaitSignal: ", "Context # is invalid",
         "Signal index # is invalid", "Flags # is invalid", "MCBasePtr", "RMA proxy is not connected", "RMA CE is not initialized",
         "ncclDevrWorldToLsaRank:", "buffer * does not satisfy symmetric registration", "Dev comm not found"),
        "nccl: src/dev_runtime.cc, src/enqueue.cc, src/rma",
        _AT + "dev_runtime.cc:700 NCCL WARN Window address must be suitably aligned.",
        "nccl >= 2.27",
    ),
    warned(
        {"process-group-misuse": 0.6},
        ("MemManager: Already suspended", "MemManager: Not in suspended state", "MemManager: Suspend *", "MemManager: Resume *",
         "MemManager: MemStats not supported", "Memory suspend not supported", "Memory resume not supported"),
        "nccl: src/mem_manager.cc",
        _AT + "mem_manager.cc:400 NCCL WARN MemManager: Already suspended",
        "nccl >= 2.29",
    ),
    warned(
        {"rank-exited": 0.36, "peer-access-broken": 0.34},
        ("MemManager: *handle exchange incomplete", "MemManager: *arrier failed during resume", "MemManager: AllGather counts failed",
         "MemManager: *from rank #", "MemManager: cuMem*", "MemManager: ncclCuMemMapAndSetAccess"),
        "nccl: src/mem_manager.cc",
        _AT + "mem_manager.cc:812 NCCL WARN MemManager: Send to rank 3 failed - handle exchange incomplete",
        "nccl >= 2.29",
        (Symptom.TRAIN_COMMUNICATION_ERROR,),
    ),
    warned(
        {"collective-order-mismatch": 0.6, "collective-shape-mismatch": 0.5, "process-group-misuse": 0.4},
        ("Coll * symmetric registration check failed on rank", "Elastic GIN: rank # *all ranks must have identical"),
        "nccl: src/misc/argcheck.cc, src/dev_runtime_segments.cc (ranks bring different buffers to one call)",
        _AT + "misc/argcheck.cc:120 NCCL WARN Coll AllReduce size 4096 symmetric registration check failed on rank 1: sendReg 1 recvReg 0 mismatch"
        " with rank 0 sendReg 0 recvReg 0",
        "nccl >= 2.29",
    ),
)  # fmt: skip
