"""XLA's coordination service, by which JAX and TensorFlow form a cluster, and find out that a task of it has died."""

from commcheck.diagnose.signatures.table import Wording, table
from commcheck.model.taxonomy import Symptom

_SERVICE = "xla: xla/tsl/distributed_runtime/coordination/coordination_service.cc"
_AGENT = "xla: xla/tsl/distributed_runtime/coordination/coordination_service_agent.cc"
_LATE = r"(?:DEADLINE_EXCEEDED|Deadline Exceeded)"
_FORMING = (Symptom.SETUP_HANG_TIMEOUT, Symptom.SETUP_FAILURE)
_DIED = (Symptom.TRAIN_COMMUNICATION_ERROR, Symptom.TRAIN_OTHER_FAILURE, Symptom.SETUP_FAILURE)

SIGNATURES = table(
    Wording(
        {"rank-missing": 0.5, "world-size-mismatch": 0.45, "port-dropped": 0.35, "rank-straggling": 0.25},
        r"Barrier timed out\. (?:Barrier_id|Id)",
        "barrier timed out.",
        _SERVICE + " (it names the tasks that did not come)",
        "DEADLINE_EXCEEDED: Barrier timed out. Barrier_id: PjRT_Client_Connect. Timed out task names:",
        "the barrier was passed",
    ),
    Wording(
        {"rank-missing": 0.45, "port-dropped": 0.44, "port-refused": 0.4, "wrong-master-host": 0.35},
        _LATE
        + r".{0,300}(?:RegisterTask|CoordinationService|oordination service)"
        + r"|(?:RegisterTask|agent (?:is )?in error (?:status|state)).{0,100}"
        + _LATE,
        "deadline_exceeded | deadline exceeded",
        _AGENT + ", Connect; xla/pjrt/distributed/client.cc",
        "E xla/pjrt/distributed/client.cc:96] Coordination service agent in error status: DEADLINE_EXCEEDED: Deadline Exceeded",
        "coordination service started",
    ),
    Wording(
        {"rank-missing": 0.5, "rank-exited": 0.4, "rank-straggling": 0.35},
        r"GetKeyValue\(\) timed out with key: ",
        "getkeyvalue() timed out",
        _AGENT + " (a task has not written what the others read)",
        "DEADLINE_EXCEEDED: GetKeyValue() timed out with key: cuda:gpus:0 and duration: 10m",
        "GetKeyValue() was called with key: cuda",
        symptoms=(Symptom.SETUP_HANG_TIMEOUT, Symptom.PREP_HANG_TIMEOUT, Symptom.PERF_HANG),
    ),
    Wording(
        {"world-size-mismatch": 0.7, "rank-out-of-range": 0.6},
        r"Unexpected task (?:registered|request)",
        "unexpected task re",
        _SERVICE + ", RegisterTask (a task of a number that the cluster has not)",
        "INVALID_ARGUMENT: Unexpected task registered with task_name=/job:jax_worker/replica:0/task:9",
        "the task was registered",
        symptoms=(Symptom.SETUP_FAILURE,),
    ),
    Wording(
        {"rank-exited": 0.47, "rank-killed": 0.42, "rank-crashed": 0.4, "rank-duplicate": 0.25},
        r"tried to connect with a different incarnation|ncarnation ID mismatch|Aborted connection attempt as there is a duplicate",
        "with a different incarnation | ncarnation id mismatch | aborted connection attempt",
        _SERVICE + " (a task has ended and was started again, or two say that they are the same)",
        "ABORTED: /job:jax_worker/replica:0/task:1 unexpectedly tried to connect with a different incarnation. It has likely restarted.",
        "the incarnation is the same",
        symptoms=_DIED,
    ),
    Wording(
        {"rank-exited": 0.46, "rank-killed": 0.42, "rank-crashed": 0.35, "partition": 0.3},
        r"Failed to send RPC to coordination service|[Bb]arrier failed because (?:a task|at least one)|agent (?:is )?in error (?:status|state)(?!.{0,100}"
        + _LATE
        + r")|coordination agent is in error state",
        "rpc to coordination service | barrier failed because | agent in error s | agent is in error s",
        _AGENT + " (the leader, or another task, has ended)",
        "UNAVAILABLE: Failed to send RPC to coordination service. Either the leader task was preempted/died/restarted unexpectedly",
        "the agent has connected",
        symptoms=_DIED,
    ),
    Wording(
        {"rank-exited": 0.45, "collective-missing-rank": 0.42, "rank-straggling": 0.3, "teardown-noise": 0.3},
        r"Shutdown barrier (?:has|in coordination service has) failed|Failed to disconnect from coordination service",
        "shutdown barrier | failed to disconnect from coord",
        _AGENT + ", ShutdownInternal (a task did not come to the end, or came late)",
        "INTERNAL: Shutdown barrier has failed.",
        "the shutdown barrier was passed",
        symptoms=(Symptom.PERF_OTHER, Symptom.TRAIN_OTHER_FAILURE, Symptom.TRAIN_COMMUNICATION_ERROR),
    ),
)
