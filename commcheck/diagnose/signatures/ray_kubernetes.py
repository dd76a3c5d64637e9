"""Ray, Kubernetes with its operators, and Slurm: what they say when they cannot place, start or keep a rank."""

from commcheck.diagnose.signatures.table import Wording, table
from commcheck.model.taxonomy import Symptom

_SETUP = (Symptom.SETUP_FAILURE, Symptom.SETUP_HANG_TIMEOUT)
_ENDED = (Symptom.TRAIN_COMMUNICATION_ERROR, Symptom.TRAIN_OTHER_FAILURE, Symptom.SETUP_FAILURE)
_DIED = (Symptom.TRAIN_OTHER_FAILURE, Symptom.TRAIN_COMMUNICATION_ERROR, Symptom.SETUP_FAILURE)
_SLURMS = r"(?:srun|salloc|sbatch|slurmstepd): (?:error|fatal): "

SIGNATURES = table(
    Wording(
        {"launcher-failure": 0.82},
        r"[Pp]lacement group (?:creation timed out|.{0,60}(?:infeasible|cannot be (?:created|scheduled)))|No available node types can fulfill|cannot be scheduled right now|Insufficient cluster resources",
        "placement group | node types can fulfill | be scheduled right now | insufficient cluster resources",
        "ray: python/ray/train, autoscaler (the cluster does not have what was asked for)",
        "TimeoutError: Placement group creation timed out. Make sure your cluster either has enough resources or use an autoscaling cluster.",
        "the placement group is ready",
        symptoms=_SETUP,
    ),
    Wording(
        {"version-mismatch": 0.9},
        r"Version mismatch: The cluster was started with|version mismatch: .{0,80}Ray: \d",
        "version mismatch: ",
        "ray: python/ray/_private/utils.py, check_version_info",
        "RuntimeError: Version mismatch: The cluster was started with:    Ray: 2.9.0    Python: 3.10.1",
        "the versions match",
        symptoms=_SETUP,
    ),
    Wording(
        {"port-refused": 0.55, "port-dropped": 0.5, "wrong-master-host": 0.42, "rank-exited": 0.3},
        r"(?:[Uu]nable|[Ff]ailed) to connect to GCS|Could not (?:find any running|connect to) Ray|The node IP address of the current process is wrong|Failed to get (?:the )?(?:cluster ID|system config) from GCS",
        "connect to gcs | running ray | connect to ray | node ip address of the | from gcs",
        "ray: src/ray/gcs_rpc_client, python/ray/_private/services.py",
        "RuntimeError: Failed to connect to GCS. Please check `gcs_server.out` for more details.",
        "connected to GCS",
        symptoms=_SETUP,
    ),
    Wording(
        {"rank-exited": 0.46, "rank-killed": 0.42, "rank-crashed": 0.4, "rank-oom-killed": 0.38},
        r"A worker died or was killed while executing a task|[Ww]orker exit type: (?:SYSTEM_ERROR|USER_ERROR|NODE_)|RayActorError|ActorDiedError|WorkerCrashedError|The worker died unexpectedly while executing|The actor died (?:unexpectedly|because)"
        r"|The actor is dead because its (?:owner|node|worker process|creation task)|OwnerDiedError|The object's owner has exited|NodeDiedError|Task failed due to the node"
        r"|ActorUnavailableError|LocalRayletDiedError|local raylet died|All copies of \S+ have been lost due to node",
        "a worker died or was killed | worker exit type: | rayactorerror | actordiederror | workercrashederror | the worker died unexpectedly | the actor died | the actor is dead because"
        " | ownerdiederror | the object's owner has exited | nodediederror | task failed due to the node | actorunavailableerror | localrayletdiederror | local raylet died | have been lost due to node",
        "ray: python/ray/exceptions.py, src/ray/raylet, src/ray/gcs/gcs_server/gcs_actor_manager.cc",
        "(raylet) A worker died or was killed while executing a task by an unexpected system error.",
        "the worker is alive",
        symptoms=_DIED,
    ),
    Wording(
        {"launcher-failure": 0.62, "rank-exited": 0.4, "process-limit": 0.3},
        r"Failed to register worker \S+ to Raylet|Unable to register worker with raylet|worker process\S* have not registered within the timeout|Agent process expected id .{0,80}timed out before registering"
        r"|ray processes? (?:died|failed) (?:unexpectedly|to start)|Failed to start the dashboard|raylet client is dead|The raylet is not (?:alive|running)",
        "failed to register worker | unable to register worker | not registered within the timeout | timed out before registering | ray process"
        " | failed to start the dashboard | raylet client is dead | the raylet is not",
        "ray: src/ray/core_worker/core_worker.cc, src/ray/raylet_client, src/ray/raylet/worker_pool.cc",
        "core_worker.cc:228: Failed to register worker 0100ffff to Raylet. IOError: [RayletClient] Unable to register worker with raylet. No such file or directory",
        "the worker has registered",
        symptoms=_SETUP,
    ),
    Wording(
        {"port-in-use": 0.8},
        r"Ray is trying to start at \S+, but is already running at",
        "ray is trying to start at",
        "ray: python/ray/_private/services.py",
        "ConnectionError: Ray is trying to start at 10.9.0.2:6379, but is already running at 10.9.0.3:6379. Please specify a different port",
        "Ray is already running",
        symptoms=(Symptom.SETUP_FAILURE,),
    ),
    Wording(
        {"shm-too-small": 0.75},
        r"The configured object store size \(.{1,20}\) exceeds /dev/shm size|The object store is using /tmp instead of /dev/shm because",
        "the configured object store size | instead of /dev/shm because",
        "ray: python/ray/_private/services.py, determine_plasma_store_config",
        "ValueError: The configured object store size (64.0 GB) exceeds /dev/shm size (0.06 GB). This will harm performance.",
        "The configured object store size is 2 GB",
        symptoms=(Symptom.SETUP_FAILURE, Symptom.TRAIN_MEMORY_ISSUE),
    ),
    Wording(
        {"memory-exhausted": 0.72},
        r"ObjectStoreFullError|[Oo]bject store is full of objects",
        "objectstorefullerror | store is full of objects",
        "ray: python/ray/exceptions.py",
        "ray.exceptions.ObjectStoreFullError: Failed to put object ffff in object store because it is full.",
        "the object store is full of room",
        symptoms=(Symptom.TRAIN_OUT_OF_MEMORY,),
    ),
    Wording(
        {"launcher-failure": 0.8},
        r"^pod \S{1,260}(?: on \S{1,260})? has not started: ",
        "has not started: ",
        "commcheck: runtime/pods.py, with kubelet's own words behind it",
        "pod commcheck-1f2e-1-x7k2p on node1 has not started: container set: Error (exit code 3)",
        "pod commcheck-1f2e-1-x7k2p on node1: container rank: OOMKilled (exit code 137)",
        symptoms=(Symptom.SETUP_FAILURE,),
    ),
    Wording(
        {"launcher-failure": 0.82},
        r"Insufficient (?:nvidia\.com/|amd\.com/)|\d Insufficient (?:cpu\b|memory\b)|\d+/\d+ nodes are available: |ErrImagePull|CreateContainerError|RunContainerError|Back-off restarting failed container|InvalidImageName|MountVolume\.SetUp failed|FailedMount|FailedCreatePodSandBox|exceeded quota|admission webhook \S+ denied",
        "insufficient nvidia.com/ | insufficient amd.com/ | insufficient cpu | insufficient memory | nodes are available: | errimagepull | createcontainererror | runcontainererror | back-off restarting failed | invalidimagename | mountvolume.setup failed | failedmount | failedcreatepodsandbox | exceeded quota | admission webhook",
        "kubernetes: scheduler and kubelet events",
        "Warning  BackOff  2m (x7 over 5m)  kubelet  Back-off restarting failed container",
        "3 nodes are ready",
        symptoms=(Symptom.SETUP_FAILURE,),
    ),
    Wording(
        {"rank-killed": 0.8, "memory-exhausted": 0.3, "disk-full": 0.3},
        r"The node was low on resource|\bEvicted\b.{0,80}(?:pod|Pod|node|low on)|preempted by|Preempting pod|DisruptionTarget|reclaimed by the (?:scheduler|provider)|Stopping container due to preemption",
        "low on resource | evicted | preempted by | preempting pod | disruptiontarget | reclaimed by the | due to preemption",
        "kubernetes: eviction and preemption; clouds",
        "Warning  Evicted  pod/trainer-3  The node was low on resource: ephemeral-storage.",
        "no pod was evicted",
        symptoms=_ENDED,
    ),
    Wording(
        {"launcher-failure": 0.7},
        r"error dialing backend|unable to upgrade connection|Error from server \((?:NotFound|BadRequest|Forbidden|InternalError)\)|flag provided but not defined|the server could not find the requested resource",
        "error dialing backend | unable to upgrade connection | error from server ( | flag provided but not defined | find the requested resource",
        "kubectl and the operators of jobs (kubectl exec is what an MPIJob is launched by)",
        'Error from server (NotFound): pods "trainer-worker-0" not found',
        "the server is found",
        symptoms=(Symptom.SETUP_FAILURE,),
    ),
    Wording(
        {"host-unresolvable": 0.93, "ssh-failure": 0.45},
        r"ssh: Could not resolve hostname \S+",
        "ssh: could not resolve hostname",
        "openssh: the launcher's names of hosts are not known here",
        "ssh: Could not resolve hostname trainer-b: Name or service not known",
        "resolved hostname trainer-b",
        symptoms=(Symptom.SETUP_FAILURE,),
    ),
    Wording(
        {"launcher-failure": 0.84},
        r"srun: error: (?:task \S+ launch failed|Task launch for|Slurmd could not|Unable to (?:contact|establish)|job_?submit|Timed out waiting for job step|Memory specification|CPU count per node|Requested node)|srun: fatal: |slurmstepd: error: (?:execve|couldn't|mpi/pmi|Could not)|Invalid account or account/partition|Slurmd could not execve job|srun: unrecognized option",
        "srun: error: | srun: fatal: | slurmstepd: error: | invalid account or | slurmd could not | srun: unrecognized",
        "slurm: srun, slurmstepd",
        "srun: error: task 0 launch failed: Error configuring interconnect",
        "srun: error: trainer-b: task 3: Exited with exit code 2",
        symptoms=(Symptom.SETUP_FAILURE,),
    ),
    Wording(
        {"launcher-failure": 0.62},
        _SLURMS
        + r"(?!\S+: tasks? [\d,-]+: |.{0,40}(?:CANCELLED|FAILED|Terminating|[Oo]om|OOM|Node failure|Exceeded|[Dd]etected \d|Unable to resolve \S|First task exited|Job step aborted|step (?:tasks )?killed|hostname|Unable to create TMPDIR|Setting TMPDIR to))",
        "srun: error: | srun: fatal: | salloc: error: | salloc: fatal: | sbatch: error: | sbatch: fatal: | slurmstepd: error: | slurmstepd: fatal: ",
        "slurm: srun, salloc, sbatch and slurmstepd of themselves and their plugins (what they say of tasks is told by others)",
        "slurmstepd: error: pyxis: container start failed with error code: 1",
        "srun: error: trainer-b: task 3: Exited with exit code 2",
        symptoms=(Symptom.SETUP_FAILURE,),
    ),
    Wording(
        {"rank-missing": 0.52, "port-refused": 0.46, "rank-exited": 0.4},
        r"Master init: Unavailable",
        "master init: unavailable",
        "tensorflow: tensorflow/core/distributed_runtime/master.cc (a task of the cluster is not there yet)",
        "E tensorflow/core/distributed_runtime/master.cc:269] Master init: Unavailable: OS Error",
        "Master init: done",
        symptoms=(Symptom.SETUP_FAILURE, Symptom.SETUP_HANG_TIMEOUT),
    ),
    Wording(
        {"launcher-failure": 0.44, "rank-exited": 0.4},
        r"CrashLoopBackOff",
        "crashloopbackoff",
        "kubernetes: a pod's state (it ended and ended again; why is in its log)",
        "trainer-launcher-lv2fx   1/1   CrashLoopBackOff   2   1m",
        "trainer-launcher-lv2fx   1/1   Running   0   1m",
        symptoms=(Symptom.SETUP_FAILURE,),
    ),
)
