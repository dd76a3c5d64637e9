"""torch.distributed.rpc over TensorPipe: agents that cannot reach, or no longer hear, each other."""

from commcheck.diagnose.signatures.table import Wording, table
from commcheck.model.taxonomy import Symptom

_AGENT = "pytorch: torch/csrc/distributed/rpc/tensorpipe_agent.cpp"
_BOTH = (Symptom.SETUP_FAILURE, Symptom.TRAIN_COMMUNICATION_ERROR)

SIGNATURES = table(
    Wording(
        {"data-ports-refused": 0.62, "rank-exited": 0.4, "interface-unroutable": 0.35},
        r"(?:RPC agent for \S+ encountered error when .{0,120}|RuntimeError: |RPCErr:\d:)(?:ECONNREFUSED: )?connection refused",
        "connection refused",
        _AGENT + "; tensorpipe: transport/uv",
        "[W tensorpipe_agent.cpp:641] RPC agent for Test0 encountered error when sending outgoing request #0 to Test1: ECONNREFUSED: connection refused",
        "RPC agent for Test0 is ready",
        symptoms=_BOTH,
    ),
    Wording(
        {"data-ports-dropped": 0.6, "route-missing": 0.4, "interface-unroutable": 0.35},
        r"RPC agent for \S+ encountered error when .{0,120}(?:timed out|ETIMEDOUT|EHOSTUNREACH|[Nn]o route to host|[Nn]etwork is unreachable)",
        "encountered error when ",
        _AGENT,
        "[W tensorpipe_agent.cpp:940] RPC agent for ps encountered error when sending outgoing request #0 to trainer: ETIMEDOUT: connection timed out",
        "an error was encountered when reading: timed out",
        symptoms=_BOTH,
    ),
    Wording(
        {"rank-exited": 0.46, "rank-crashed": 0.36, "rank-killed": 0.3},
        r"RPC agent for \S+ encountered error when |this error originated at tensorpipe/",
        "encountered error when  | error originated at tensorpipe/",
        _AGENT + " (mostly: the peer ended and its connection with it)",
        "[W tensorpipe_agent.cpp:725] RPC agent for worker1 encountered error when reading incoming request from worker0: eof (this error originated at tensorpipe/transport/uv/connection_impl.cc:132)",
        "RPC agent for worker1 has shut down",
        symptoms=(Symptom.TRAIN_COMMUNICATION_ERROR, Symptom.SETUP_FAILURE),
    ),
    Wording(
        {"rank-straggling": 0.5, "rank-exited": 0.4},
        r"RPC ran for more than (?:set )?timeout|RPCErr:1:",
        "rpc ran for more than | rpcerr:1:",
        "pytorch: torch/csrc/distributed/rpc/utils.cpp, tensorpipe_agent.cpp",
        "RuntimeError: RPCErr:1:RPC ran for more than set timeout (60000 ms) and will now be marked with an error",
        "the RPC ran for 3 ms",
        symptoms=(Symptom.TRAIN_COMMUNICATION_ERROR, Symptom.SETUP_HANG_TIMEOUT),
    ),
    Wording(
        {"rank-exited": 0.45, "rank-straggling": 0.4, "rank-missing": 0.35},
        r"Failed to (?:respond to 'Shutdown Proceed' in time|complete barrier, got error)|Followers \{.{0,200}\} timed out in _all_gather|Timed out waiting for RPC workers",
        "shutdown proceed | failed to complete barrier | timed out in _all_gather | waiting for rpc workers",
        "pytorch: torch/distributed/rpc/api.py, _all_gather and shutdown",
        "RuntimeError: Followers {'worker1'} timed out in _all_gather after 60.00 seconds. The first exception is RPCErr:1",
        "all followers answered",
        symptoms=(Symptom.TRAIN_COMMUNICATION_ERROR, Symptom.SETUP_HANG_TIMEOUT),
    ),
    Wording(
        {"process-group-misuse": 0.85},
        r"RPC has not been initialized\. Call|RPC is already initialized|RPC backend registration|[Cc]urrent RPC agent is not set",
        "rpc has not been initialized. | rpc is already initialized | rpc backend registration | rpc agent is not set",
        "pytorch: torch/distributed/rpc/api.py, torch/csrc/distributed/rpc/rpc_agent.cpp",
        "RuntimeError: RPC has not been initialized. Call torch.distributed.rpc.init_rpc first.",
        "RPC was initialized",
        symptoms=(Symptom.SETUP_FAILURE,),
    ),
    Wording(
        {"rank-duplicate": 0.8},
        r"RPC worker name \S+ is not unique|worker names?.{0,40} (?:must be|is not) unique",
        "not unique | must be unique",
        "pytorch: torch/csrc/distributed/rpc/tensorpipe_agent.cpp, collectNames",
        "RuntimeError: RPC worker name worker0 is not unique.",
        "names of columns must be unique",
        symptoms=(Symptom.SETUP_FAILURE,),
    ),
)
