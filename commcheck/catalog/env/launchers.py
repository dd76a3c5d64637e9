"""The variables by which a launcher tells a process its place: torchrun, Slurm, Open MPI, PMI and their like.

Sources: PyTorch's `torch/distributed/run.py` and `torch/distributed/elastic`, the "OUTPUT ENVIRONMENT VARIABLES" of
Slurm's srun(1), Open MPI's mpirun(1) and FAQ, the Hydra process manager of MPICH. A program reads them when it likes,
so they keep their effect after `import torch`.
"""

from commcheck.catalog.env.row import EnvVar, Kind, Owner, ReadAt

_ELASTIC = Owner("torchrun", "pytorch torch/distributed/elastic and torch/distributed/run.py")
_SLURM = Owner("slurm", "srun(1), output environment variables")
_OMPI = Owner("openmpi", "Open MPI FAQ: environment variables of an MPI process")
_PMI = Owner("pmi", "MPICH Hydra process manager; PMIx")
_IMPI = Owner("intel-mpi", "Intel MPI Library developer reference")
_HVD = Owner("horovod", "horovod horovod/runner and horovod/common/common.h")
_RAY = Owner("ray", "Ray's and other wrappers' conventions")

_I = ReadAt.INIT
_FLAG, _INT, _TEXT, _PATH = Kind.FLAG, Kind.INTEGER, Kind.TEXT, Kind.PATH

# fmt: off
ROWS: tuple[EnvVar, ...] = (
    _ELASTIC.row("GROUP_RANK", _INT, "", "The number of this host's agent (node_rank).", _I, low=0),
    _ELASTIC.row("GROUP_WORLD_SIZE", _INT, "", "How many agents (hosts) there are.", _I, low=1),
    _ELASTIC.row("ROLE_NAME", _TEXT, "default", "The role of this worker.", _I),
    _ELASTIC.row("ROLE_RANK", _INT, "", "The number of this worker within its role.", _I, low=0),
    _ELASTIC.row("ROLE_WORLD_SIZE", _INT, "", "How many workers have this role.", _I, low=1),
    _ELASTIC.row("NODE_RANK", _INT, "", "The number of this host, as many job scripts call it. torchrun does not read "
                 "it: give --node-rank or PET_NODE_RANK.", _I, low=0),
    _ELASTIC.row("NNODES", _TEXT, "", "How many hosts, as many job scripts call it. torchrun reads PET_NNODES.", _I),
    _ELASTIC.row("NPROC_PER_NODE", _TEXT, "", "Processes per host, as many job scripts call it. torchrun reads "
                 "PET_NPROC_PER_NODE.", _I),
    _ELASTIC.row("PET_NNODES", _TEXT, "1:1", "torchrun's --nnodes.", _I),
    _ELASTIC.row("PET_NPROC_PER_NODE", _TEXT, "1", "torchrun's --nproc-per-node.", _I),
    _ELASTIC.row("PET_NODE_RANK", _INT, "0", "torchrun's --node-rank.", _I, low=0),
    _ELASTIC.row("PET_MASTER_ADDR", Kind.HOST, "127.0.0.1", "torchrun's --master-addr.", _I),
    _ELASTIC.row("PET_MASTER_PORT", Kind.PORT, "29500", "torchrun's --master-port.", _I, low=0, high=65535),
    _ELASTIC.row("PET_RDZV_BACKEND", _TEXT, "static", "torchrun's --rdzv-backend.", _I),
    _ELASTIC.row("PET_RDZV_ENDPOINT", _TEXT, "", "torchrun's --rdzv-endpoint, HOST:PORT.", _I),
    _ELASTIC.row("PET_RDZV_ID", _TEXT, "none", "torchrun's --rdzv-id, the same on all hosts of a job.", _I),
    _ELASTIC.row("PET_RDZV_CONF", _TEXT, "", "torchrun's --rdzv-conf.", _I),
    _ELASTIC.row("PET_MAX_RESTARTS", _INT, "0", "torchrun's --max-restarts.", _I, low=0),
    _ELASTIC.row("PET_LOG_DIR", _PATH, "", "torchrun's --log-dir.", _I),
    _ELASTIC.row("TORCHELASTIC_ERROR_FILE", _PATH, "", "Where a worker writes the error that ends it.", _I),
    _ELASTIC.row("TORCHELASTIC_HEALTH_CHECK_PORT", Kind.PORT, "", "Port of the agent's health check.", _I,
                 low=0, high=65535),
    _ELASTIC.row("TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE", _TEXT, "", "What torchrun puts before each line.", _I),
    _ELASTIC.row("TORCHELASTIC_MAX_RESTARTS", _INT, "", "How often the workers may be restarted.", _I, low=0),
    _ELASTIC.row("TORCHELASTIC_RESTART_COUNT", _INT, "", "How often they have been.", _I, low=0),
    _ELASTIC.row("TORCHELASTIC_RUN_ID", _TEXT, "", "torchrun's rendezvous id.", _I),
    _ELASTIC.row("TORCHELASTIC_SIGNALS_TO_HANDLE", _TEXT, "", "Signals that the agent passes on.", _I),
    _ELASTIC.row("TORCHELASTIC_USE_AGENT_STORE", _TEXT, "", "True: the agent's store at MASTER_ADDR:MASTER_PORT is "
                 "used and no rank opens one. A rank that has it without an agent waits in vain.", _I),
    _ELASTIC.row("TORCHELASTIC_UNINTERRUPTIBLE_STATE_TIMEOUT", Kind.SECONDS, "", "How long the agent waits for a "
                 "process that cannot be killed.", _I, low=0),
    _ELASTIC.row("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", Kind.SECONDS, "", "How long the agent waits when it ends.", _I,
                 low=0),
    _ELASTIC.row("TORCH_ELASTIC_WORKER_IDENTICAL", _FLAG, "0", "Workers are told to be alike.", _I),
    _ELASTIC.row("TORCH_WORKER_SERVER_SOCKET", _PATH, "", "Socket of a worker's control server.", _I),
    _ELASTIC.row("LOGLEVEL", _TEXT, "", "Level of torchrun's own log.", _I),

    _SLURM.row("SLURM_JOB_ID", _INT, "", "The job.", _I, low=0),
    _SLURM.row("SLURM_JOB_NODELIST", _TEXT, "", "The job's hosts, in Slurm's short form.", _I),
    _SLURM.row("SLURM_JOB_NUM_NODES", _INT, "", "How many hosts the job has.", _I, low=1),
    _SLURM.row("SLURM_LAUNCH_NODE_IPADDR", Kind.HOST, "", "The address that srun was started from.", _I),
    _SLURM.row("SLURM_LOCALID", _INT, "", "The task's number on its host; LOCAL_RANK's counterpart.", _I, low=0),
    _SLURM.row("SLURM_NNODES", _INT, "", "How many hosts.", _I, low=1),
    _SLURM.row("SLURM_NODEID", _INT, "", "The host's number; node_rank's counterpart.", _I, low=0),
    _SLURM.row("SLURM_NODELIST", _TEXT, "", "The hosts, in Slurm's short form.", _I),
    _SLURM.row("SLURM_NPROCS", _INT, "", "How many tasks; older name of SLURM_NTASKS.", _I, low=1),
    _SLURM.row("SLURM_NTASKS", _INT, "", "How many tasks; WORLD_SIZE's counterpart.", _I, low=1),
    _SLURM.row("SLURM_NTASKS_PER_NODE", _INT, "", "Tasks per host, if asked for.", _I, low=1),
    _SLURM.row("SLURM_PROCID", _INT, "", "The task's number; RANK's counterpart.", _I, low=0),
    _SLURM.row("SLURM_STEP_ID", _INT, "", "The step.", _I),
    _SLURM.row("SLURM_STEP_NODELIST", _TEXT, "", "The step's hosts.", _I),
    _SLURM.row("SLURM_STEP_NUM_TASKS", _INT, "", "How many tasks the step has.", _I, low=1),
    _SLURM.row("SLURM_STEP_GPUS", _TEXT, "", "The step's GPUs.", _I),
    _SLURM.row("SLURM_SRUN_COMM_HOST", Kind.HOST, "", "Where srun listens.", _I),
    _SLURM.row("SLURM_SRUN_COMM_PORT", Kind.PORT, "", "Where srun listens.", _I, low=0, high=65535),
    _SLURM.row("SLURM_TASKS_PER_NODE", _TEXT, "", "Tasks per host, in Slurm's short form.", _I),
    _SLURM.row("SLURM_CPUS_PER_TASK", _INT, "", "CPUs per task.", _I, low=1),
    _SLURM.row("SLURM_GPUS_ON_NODE", _TEXT, "", "GPUs of this host.", _I),
    _SLURM.row("SLURM_GPUS_PER_TASK", _TEXT, "", "GPUs per task.", _I),
    _SLURM.row("SLURM_MPI_TYPE", _TEXT, "", "srun's --mpi.", _I),
    _SLURM.row("SLURMD_NODENAME", _TEXT, "", "The host's name in Slurm.", _I),

    _OMPI.row("OMPI_COMM_WORLD_LOCAL_RANK", _INT, "", "The process's number on its host.", _I, low=0),
    _OMPI.row("OMPI_COMM_WORLD_LOCAL_SIZE", _INT, "", "Processes on this host.", _I, low=1),
    _OMPI.row("OMPI_COMM_WORLD_NODE_RANK", _INT, "", "The process's number on its host, over all jobs.", _I, low=0),
    _OMPI.row("OMPI_COMM_WORLD_RANK", _INT, "", "The process's number; RANK's counterpart.", _I, low=0),
    _OMPI.row("OMPI_COMM_WORLD_SIZE", _INT, "", "How many processes; WORLD_SIZE's counterpart.", _I, low=1),
    _OMPI.row("OMPI_UNIVERSE_SIZE", _INT, "", "How many slots.", _I, low=1),
    _OMPI.row("OMPI_MCA_btl", _TEXT, "", "Which byte transports are used.", _I),
    _OMPI.row("OMPI_MCA_btl_tcp_if_exclude", Kind.INTERFACES, "", "Interfaces that Open MPI's TCP avoids.", _I),
    _OMPI.row("OMPI_MCA_btl_tcp_if_include", Kind.INTERFACES, "", "Interfaces or networks that Open MPI's TCP uses.",
              _I),
    _OMPI.row("OMPI_MCA_oob_tcp_if_include", Kind.INTERFACES, "", "Interfaces that Open MPI's daemons use.", _I),
    _OMPI.row("OMPI_MCA_pml", _TEXT, "", "Which point-to-point layer is used.", _I),
    _OMPI.row("OMPI_ALLOW_RUN_AS_ROOT", _FLAG, "0", "Allow mpirun as root.", _I),
    _OMPI.row("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", _FLAG, "0", "Confirm it.", _I),

    _PMI.row("PMI_RANK", _INT, "", "The process's number; RANK's counterpart.", _I, low=0),
    _PMI.row("PMI_SIZE", _INT, "", "How many processes; WORLD_SIZE's counterpart.", _I, low=1),
    _PMI.row("PMI_LOCAL_RANK", _INT, "", "The process's number on its host.", _I, low=0),
    _PMI.row("PMI_LOCAL_SIZE", _INT, "", "Processes on this host.", _I, low=1),
    _PMI.row("PMI_FD", _INT, "", "Descriptor of the process manager's pipe.", _I),
    _PMI.row("PMI_PORT", _TEXT, "", "Address of the process manager.", _I),
    _PMI.row("PMIX_RANK", _INT, "", "The process's number under PMIx.", _I, low=0),
    _PMI.row("PMIX_NAMESPACE", _TEXT, "", "The job under PMIx.", _I),
    _PMI.row("PALS_RANKID", _INT, "", "The process's number under HPE's PALS.", _I, low=0),
    _PMI.row("PALS_LOCAL_RANKID", _INT, "", "Its number on the host under PALS.", _I, low=0),
    _PMI.row("MV2_COMM_WORLD_RANK", _INT, "", "The process's number under MVAPICH2.", _I, low=0),
    _PMI.row("MV2_COMM_WORLD_SIZE", _INT, "", "How many processes under MVAPICH2.", _I, low=1),
    _PMI.row("MV2_COMM_WORLD_LOCAL_RANK", _INT, "", "Its number on the host under MVAPICH2.", _I, low=0),
    _PMI.row("MPI_LOCALRANKID", _INT, "", "The process's number on its host (Hydra).", _I, low=0),
    _PMI.row("MPI_LOCALNRANKS", _INT, "", "Processes on this host (Hydra).", _I, low=1),
    _IMPI.row("I_MPI_FABRICS", _TEXT, "", "Which fabrics Intel MPI uses.", _I),
    _IMPI.row("I_MPI_HYDRA_IFACE", Kind.INTERFACES, "", "The interface of Intel MPI's process manager.", _I),

    _HVD.row("HOROVOD_RANK", _INT, "", "The process's number under Horovod.", _I, low=0),
    _HVD.row("HOROVOD_SIZE", _INT, "", "How many processes under Horovod.", _I, low=1),
    _HVD.row("HOROVOD_LOCAL_RANK", _INT, "", "Its number on the host under Horovod.", _I, low=0),
    _HVD.row("HOROVOD_GLOO_IFACE", Kind.INTERFACES, "", "The interface of Horovod's gloo.", _I),
    _HVD.row("HOROVOD_GLOO_RENDEZVOUS_ADDR", Kind.HOST, "", "Where Horovod's rendezvous listens.", _I),
    _HVD.row("HOROVOD_GLOO_RENDEZVOUS_PORT", Kind.PORT, "", "Where Horovod's rendezvous listens.", _I,
             low=0, high=65535),
    _HVD.row("HOROVOD_GLOO_TIMEOUT_SECONDS", Kind.SECONDS, "30", "How long Horovod's gloo waits.", _I, low=1),
    _HVD.row("HOROVOD_STALL_CHECK_TIME_SECONDS", Kind.SECONDS, "60", "When Horovod warns of a stall.", _I, low=0),
    _RAY.row("RAY_ADDRESS", _TEXT, "", "The Ray cluster to join.", _I),
    _RAY.row("NODE_IP_ADDRESS", Kind.HOST, "", "This host's address, as Ray was told.", _I),
)
# fmt: on
