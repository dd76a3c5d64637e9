"""What launchers say when a job of theirs has ended, or could not be started: Horovod's, ColossalAI's, subprocess.

Most of it only tells that something failed on a rank: then the ways in which ranks end come with low weights."""

from commcheck.diagnose.signatures.table import Wording, table
from commcheck.model.taxonomy import Symptom

_ELASTIC = "horovod: horovod/runner/elastic/driver.py, registration.py, discovery.py"
_COLOSSAL = "colossalai: colossalai/cli/launcher/hostinfo.py, multinode_runner.py"
_IGNITE = "ignite: ignite/distributed/comp_models/native.py"
_SETUP = (Symptom.SETUP_FAILURE,)
_ENDED = (Symptom.TRAIN_OTHER_FAILURE, Symptom.SETUP_FAILURE)
_LAUNCHERS = r"(?:deepspeed|torchrun|accelerate|horovodrun|mpirun|mpiexec|srun|colossalai|composer|llamafactory-cli)"

SIGNATURES = table(
    Wording(
        {"rank-exited": 0.46, "launcher-failure": 0.44, "rank-crashed": 0.4, "rank-killed": 0.38},
        r"No hosts from previous set remaining|Job has been shutdown, see above error messages|failure count == \d+ -> stop running"
        r"|blacklisted slots count == \d+ -> stop running|reset count \d+ has exceeded limit \d+ -> stop running|failed to activate new hosts -> stop running",
        "no hosts from previous set | job has been shutdown, see | -> stop running",
        _ELASTIC,
        "RuntimeError: No hosts from previous set remaining, unable to broadcast state.",
        "INFO: new hosts were found: trainer-b",
        symptoms=_ENDED,
    ),
    Wording(
        {"launcher-failure": 0.72},
        r"Failed to execute discovery script: |Unable to find a port to bind to\.|Invalid host input, (?:please make sure it has|slot count for host)"
        r"|Not enough slots on the hosts to fulfill|Cannot run in fault tolerance mode with fewer than|Placement group creation timed out",
        "execute discovery script: | a port to bind to. | invalid host input, | not enough slots on the hosts | fault tolerance mode with fewer | placement group creation timed",
        _ELASTIC + "; horovod/runner/common/util/hosts.py, horovod/ray",
        "RuntimeError: Failed to execute discovery script: ./discover.sh. Exit code: 127",
        "the discovery script named 2 hosts",
        symptoms=(Symptom.SETUP_FAILURE, Symptom.SETUP_HANG_TIMEOUT),
    ),
    Wording(
        {"launcher-failure": 0.62, "world-size-mismatch": 0.5},
        r"Requested more processes \(\d+\) than there are available slots",
        "than there are available slots",
        "horovod: horovod/runner/common/util/hosts.py",
        "ValueError: Requested more processes (8) than there are available slots (4)",
        "there are 4 available slots",
        symptoms=_SETUP,
    ),
    Wording(
        {"rank-exited": 0.45, "port-refused": 0.44, "data-ports-dropped": 0.4},
        r"(?:Read data from|Put data input) KVStore server failed",
        "kvstore server failed",
        "horovod: horovod/runner/http/http_client.py (the launcher's server has ended with the job, or is not reachable)",
        "RuntimeError: ('Put data input KVStore server failed.', URLError(ConnectionRefusedError(111, 'Connection refused')))",
        "the KVStore server is up",
        symptoms=(Symptom.SETUP_FAILURE, Symptom.TRAIN_COMMUNICATION_ERROR),
    ),
    Wording(
        {"rank-exited": 0.42, "launcher-failure": 0.38, "script-error": 0.36},
        r"(?:mpirun|jsrun) failed with exit code [1-9]",
        "mpirun failed with exit | jsrun failed with exit",
        "horovod: horovod/runner/mpi_run.py, js_run.py (what failed is said before)",
        "RuntimeError: mpirun failed with exit code 1",
        "mpirun failed with exit code 0",
        symptoms=_ENDED,
    ),
    Wording(
        {"ssh-failure": 0.85, "launcher-failure": 0.5},
        r"failed to run .{1,2000}(?:No authentication methods available|Authentication (?:failed|timeout)|Private key file is encrypted|No existing session"
        r"|Unable to connect to port \d+|Error reading SSH protocol banner|not found in known_hosts|Bad authentication type)"
        r"|paramiko\.(?:ssh_exception\.)?\w*(?:SSH|Auth|Password|HostKey|NoValidConnections)\w*(?:Exception|Error|Type|Required)",
        "failed to run | paramiko.",
        _COLOSSAL + " (fabric, paramiko)",
        "Error: failed to run torchrun --nproc_per_node=4 train.py on trainer-b, is localhost: False, exception: No authentication methods available",
        "failed to run the hook",
        symptoms=_SETUP,
    ),
    Wording(
        {"rank-exited": 0.42, "script-error": 0.4, "launcher-failure": 0.41},
        r"[Ff]ailed to run (?:\S*/)?torchrun .{1,2000} on \S",
        "failed to run ",
        _COLOSSAL + " (what failed is said before, or behind `exception:`)",
        "Error: failed to run torchrun --nproc_per_node=4 --nnodes=1 train.py on 127.0.0.1",
        "running torchrun --nproc_per_node=4 train.py",
        symptoms=_ENDED,
    ),
    Wording(
        {"rank-exited": 0.42, "launcher-failure": 0.41, "script-error": 0.4},
        rf"Command '\[?['\"]?(?:\S*/)?{_LAUNCHERS}['\" ].{{0,4000}}returned non-zero exit status [1-9]",
        "returned non-zero exit status",
        "Python: subprocess, round a launcher",
        "subprocess.CalledProcessError: Command '['deepspeed', '--num_gpus', '1', 'train.py']' returned non-zero exit status 2.",
        "subprocess.CalledProcessError: Command '['git', 'clone', 'x']' returned non-zero exit status 128.",
        symptoms=_ENDED,
    ),
    Wording(
        {"env-missing": 0.9, "launcher-mismatch": 0.5},
        r"Could not find '(?P<name>\w+)' in the (?:(?:torch|SLURM|OpenMPI) )?environment",
        "could not find '",
        "colossalai: colossalai/initialize.py, launch_from_torch, launch_from_slurm, launch_from_openmpi",
        "RuntimeError: Could not find 'SLURM_PROCID' in the SLURM environment, visit https://www.colossalai.org/ for more information",
        "Could not find 'x' in the cache",
        symptoms=_SETUP,
    ),
    Wording(
        {"env-missing": 0.85, "launcher-mismatch": 0.5},
        r"(?:SLURM|PyTorch) distributed configuration is missing '|PyTorch distributed configuration should define env variables"
        r"|Torch distributed is initialized but environment variable \w+ is not set",
        "distributed configuration is missing | distributed configuration should define | initialized but environment variable",
        _IGNITE + "; composer: composer/utils/dist.py",
        "RuntimeError: SLURM distributed configuration is missing 'SLURM_NTASKS' in env variables",
        "the distributed configuration is complete",
        symptoms=_SETUP,
    ),
    Wording(
        {"launcher-mismatch": 0.75, "env-conflict": 0.7},
        r"should not be specified with SLURM|Torch distributed has been initialized with a [\w ]{1,30} of \d+, but environment variable",
        "should not be specified with slurm | has been initialized with a",
        _IGNITE + " (torchrun's or spawn's variables within Slurm's); composer: composer/utils/dist.py",
        "RuntimeError: Defined env variables '['RANK', 'LOCAL_RANK', 'WORLD_SIZE']' should not be specified with SLURM.",
        "the variables are specified by SLURM",
        symptoms=_SETUP,
    ),
    Wording(
        {"launcher-mismatch": 0.6, "launcher-failure": 0.58},
        r"SLURM does not appear to be installed",
        "slurm does not appear to be installed",
        "ParlAI: parlai/utils/distributed.py",
        "RuntimeError: SLURM does not appear to be installed.",
        "SLURM is installed",
        symptoms=_SETUP,
    ),
)
