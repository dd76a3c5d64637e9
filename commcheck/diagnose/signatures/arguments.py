"""What the launchers' own parsers of arguments, and of their configuration files, refuse: no rank is started then.

Launchers written in Python use argparse, which ends with `PROGRAM: error: WHAT`. The program is the launcher itself
(`torchrun`, `deepspeed`), a module that was run with `-m` (`run.py`, `launch.py`), or a text of its own (accelerate).
"""

from commcheck.diagnose.signatures.table import Wording, table
from commcheck.model.taxonomy import Symptom

_SETUP = (Symptom.SETUP_FAILURE,)
_PROGRAM = (
    r"\b(?:torchrun|deepspeed|horovodrun|composer|fabric|(?:\S*/)?(?:torch_distributed_)?(?:launch|runner|run)\.py"
    r"|[Aa]ccelerate(?: CLI tool|-launch|-config| <command> \[<args>\](?: [\w-]+){0,3}| [a-z]+)?)"
)
_SAID = r"(?:the following arguments are required|unrecognized arguments|ambiguous option|argument \S|invalid choice|one of the arguments|too few arguments)"

SIGNATURES = table(
    Wording(
        {"launcher-failure": 0.86, "launcher-mismatch": 0.6},
        rf"{_PROGRAM}: error: (?!argument .*invalid \w+ value: '')(?!unrecognized arguments: .*--local)(?!the following arguments are required: .*local[-_]rank){_SAID}",
        "torchrun: error: | deepspeed: error: | horovodrun: error: | composer: error: | fabric: error: | launch.py: error: | runner.py: error: | run.py: error: | cli tool: error: | launch: error: | accelerate-launch: error: | accelerate-config: error: | accelerate: error: | <command> [<args>] | config: error: | test: error: | estimate-memory: error:",
        "Python: argparse; pytorch: torch/distributed/run.py, launch.py; deepspeed: launcher/runner.py, launcher/launch.py; accelerate: commands",
        "torchrun: error: the following arguments are required: training_script, training_script_args",
        "train.py: error: the following arguments are required: --data",
        symptoms=_SETUP,
    ),
    Wording(
        {"env-malformed": 0.85, "launcher-failure": 0.7},
        rf"{_PROGRAM}: error: argument .*invalid \w+ value: ''",
        "value: ''",
        "Python: argparse (a variable of the shell that is empty stands where a number should)",
        "torchrun: error: argument --master-port/--master_port: invalid int value: ''",
        "torchrun: error: argument --nnodes: invalid int value: 'two'",
        symptoms=_SETUP,
    ),
    Wording(
        {"version-mismatch": 0.82, "launcher-failure": 0.6},
        r"(?:ClusterConfig|SageMakerConfig)(?:\.__init__\(\))? got an unexpected keyword argument|__init__\(\) got an unexpected keyword argument '(?:tpu_use_cluster|tpu_use_sudo|tpu_env|command_file|same_network|dynamo_backend|dynamo_config|enable_cpu_affinity|fp8_config)'",
        "got an unexpected keyword argument",
        "accelerate: commands/config/config_args.py (a configuration file that another version has written)",
        "TypeError: ClusterConfig.__init__() got an unexpected keyword argument 'command_file'",
        "TypeError: Model.__init__() got an unexpected keyword argument 'width'",
        symptoms=_SETUP,
    ),
    Wording(
        {"version-mismatch": 0.62, "launcher-failure": 0.5},
        r"The config file at \S+ had unknown keys \(",
        "had unknown keys (",
        "accelerate: commands/config/config_args.py since 0.21; transformers: AcceleratorConfig (another version's file, or a misspelled key)",
        "ValueError: The config file at default_config.yaml had unknown keys (['enable_cpu_affinity']), please try upgrading your `accelerate` version or fix",
        "The config file at default_config.yaml was read",
        symptoms=_SETUP,
    ),
    Wording(
        {"launcher-failure": 0.7},
        r"AttributeError: 'Namespace' object has no attribute '(?:same_network|gpu_ids|rdzv_backend|main_process_(?:ip|port)|num_machines|num_processes|machine_rank)'",
        "'namespace' object has no attribute",
        "accelerate: commands/launch.py (a setting without a default, of a configuration that is missing)",
        "AttributeError: 'Namespace' object has no attribute 'same_network'",
        "AttributeError: 'Namespace' object has no attribute 'lr'",
        symptoms=_SETUP,
    ),
)
