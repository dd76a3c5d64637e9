"""Parameter servers: ps-lite (MXNet's dist_* stores, BytePS) and Paddle's gRPC clients."""

from commcheck.diagnose.signatures.table import Wording, table
from commcheck.model.taxonomy import Symptom

_POSTOFFICE = "ps-lite: src/postoffice.cc"
_VAN = "ps-lite: src/van.cc, src/zmq_van.h"
_SETUP = (Symptom.SETUP_FAILURE,)

SIGNATURES = table(
    Wording(
        {"env-missing": 0.9},
        r"(?:notnull: ?|Check failed: ).{0,40}Environment::Get\(\)->find\(\"?(?P<name>\w+)",
        "environment::get()->find(",
        _POSTOFFICE
        + ", src/van.cc: CHECK_NOTNULL (DMLC_NUM_WORKER, DMLC_NUM_SERVER, DMLC_ROLE, DMLC_PS_ROOT_URI, DMLC_PS_ROOT_PORT)",
        'MXNetError: [06:04:43] src/postoffice.cc:18: Check  notnull: Environment::Get()->find("DMLC_NUM_SERVER")',
        "DMLC_NUM_SERVER=2",
        symptoms=_SETUP,
    ),
    Wording(
        {"port-in-use": 0.6, "wrong-master-host": 0.5, "interface-missing": 0.35, "stale-store": 0.3},
        r"Check failed: \(?my_node_\.port\)? ?!= ?\(?-1\)?|src/van\.cc:\d+: .{0,60}bind failed",
        "my_node_.port | bind failed",
        _VAN + " (the scheduler binds DMLC_PS_ROOT_URI itself: the port is taken, or the address is another host's)",
        "mxnet.base.MXNetError: [08:18:33] src/van.cc:291: Check failed: (my_node_.port) != (-1) bind failed",
        "src/van.cc:75: Bind to role=scheduler, id=1, ip=192.0.2.4, port=9091",
        symptoms=_SETUP,
    ),
    Wording(
        {
            "interface-missing": 0.6,
            "interface-without-address": 0.55,
            "interface-loopback": 0.4,
            "host-resolves-to-loopback": 0.3,
        },
        r"failed to get (?:the interface|ip)\b(?: address)?|Check failed: !(?:interface|ip|my_node_\.hostname)\.empty\(\)",
        "failed to get the interface | failed to get ip | interface.empty() | ip.empty() | hostname.empty()",
        _VAN + " (DMLC_INTERFACE, DMLC_NODE_HOST)",
        "mxnet.base.MXNetError: [13:30:33] src/van.cc:63: Check failed: !ip.empty() failed to get ip",
        "got ip 192.0.2.4",
        symptoms=_SETUP,
    ),
    Wording(
        {"port-range-exhausted": 0.5, "port-in-use": 0.4},
        r"src/van\.cc:\d+: .{0,60}failed to get a port",
        "failed to get a port",
        _VAN,
        "src/van.cc:71: Check failed: port failed to get a port",
        "got a port",
        symptoms=_SETUP,
    ),
    Wording(
        {"port-refused": 0.45, "host-unresolvable": 0.44, "wrong-master-host": 0.42},
        r"(?:van\.(?:cc|h)|zmq_van\.h):\d+: .{0,80}connect to \S+ failed",
        "connect to ",
        _VAN,
        "src/./zmq_van.h:151: connect to tcp://trainer-a:9091 failed: Invalid argument",
        "zmq_van.h:151: connect to tcp://trainer-a:9091",
        symptoms=_SETUP,
    ),
    Wording(
        {"rank-missing": 0.4, "launcher-mismatch": 0.38, "world-size-mismatch": 0.35},
        r"timeout \(\d+ sec\) to wait App",
        "sec) to wait app",
        _VAN + "; src/customer.cc: a message for an application that this process has not made",
        "src/van.cc:470: Check failed: obj timeout (5 sec) to wait App 0 customer 0 ready at 8",
        "App 0 is ready",
        symptoms=(Symptom.SETUP_HANG_TIMEOUT, Symptom.SETUP_FAILURE),
    ),
    Wording(
        {"backend-not-built": 0.93},
        r"compile with USE_DIST_KVSTORE ?= ?1",
        "use_dist_kvstore",
        "mxnet: src/kvstore/kvstore.cc",
        "mxnet.base.MXNetError: [17:13:44] src/kvstore/kvstore.cc:41: compile with USE_DIST_KVSTORE=1 to use dist",
        "built with dist kvstore",
        symptoms=(Symptom.SETUP_FAILURE, Symptom.BUILD_IMPORT_ERROR),
    ),
    Wording(
        {"rank-exited": 0.46, "rank-missing": 0.42, "port-refused": 0.41, "data-ports-dropped": 0.3},
        r"meets grpc error, error_code: ?\d+",
        "meets grpc error",
        "paddle: paddle/fluid/operators/distributed/grpc/grpc_client.cc (14: unavailable, 4: deadline exceeded)",
        "grpc_client.cc:424] SendRPC name:[NCCLID], ep:[192.0.2.5:9184], status:[-1] meets grpc error, error_code:14 error_message:Socket closed",
        "rpc_client.h:101] init rpc client with trainer_id 0",
        symptoms=(Symptom.PREP_COMMUNICATION_ERROR, Symptom.SETUP_FAILURE, Symptom.TRAIN_COMMUNICATION_ERROR),
    ),
    Wording(
        {"rank-missing": 0.42, "wrong-master-host": 0.4, "port-refused": 0.38, "port-dropped": 0.3},
        r"not ready endpoints:\s*\[|server not ready, wait \d+ sec to retry",
        "not ready endpoints | server not ready, wait",
        "paddle: python/paddle/fluid/transpiler/details/checkport.py, wait_server_ready",
        "not ready endpoints:['192.0.2.5:6170']",
        "all endpoints are ready",
        symptoms=(Symptom.SETUP_HANG_TIMEOUT,),
    ),
)
