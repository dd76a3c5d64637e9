"""A host cannot be reached by ssh, which the launcher needs.

**What you see**
`Permission denied (publickey)`, `Host key verification failed`, `host=... was not reachable via ssh`, `ssh not
successful for host`, or a launcher that waits silently in its check of ssh.

**Why it happens**
No key without passphrase, an unknown host key, ssh on another port (containers), or no ssh server on that host.

**How to fix**
Set up keys for the account on every host, accept the host keys beforehand, and give the launcher the right
port.

**How to confirm**
From the host of the launcher: `ssh -o BatchMode=yes HOST true` must return 0 at once for each host.
"""

from commcheck.diagnose.consequences import PEERS_SEE
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

RULE = Rule(
    cause="ssh-failure",
    code="CC153",
    title="A host cannot be reached by ssh, which the launcher needs",
    stage=Stage.SETUP,
    symptoms=(
        Symptom.SETUP_FAILURE,
        Symptom.SETUP_HANG_TIMEOUT,
    ),
    fixes=(
        (
            FixPattern.NETWORK_SETTING,
            "Set up ssh without a password to every host, with the port that the launcher uses.",
        ),
        (
            FixPattern.COMMAND_LINE,
            "Give the port (horovodrun -p, deepspeed --ssh_port), or leave out the hostfile for a single host.",
        ),
    ),
    signatures=(
        Signature(
            pattern="was not reachable via ssh",
            literal="was not reachable via ssh",
            source="deepspeed: deepspeed/launcher/runner.py",
            positive="RuntimeError: Using hostfile at /job/hostfile but host=trainer-b was not reachable via ssh.",
            negative="reachable via ssh",
            weight=0.95,
        ),
        Signature(
            pattern="ssh not successful for host|could not connect to some hosts via ssh|_all_hosts_ssh_successful",
            literal="ssh not successful | hosts via ssh | _hosts_ssh_successful",
            source="horovod: horovod/runner/launch.py",
            positive="ssh not successful for host trainer-b:",
            negative="ssh successful for all hosts",
            weight=0.92,
        ),
        Signature(
            pattern=r"Permission denied \((?:publickey|password|gssapi|keyboard|hostbased)",
            literal="permission denied (",
            source="openssh",
            positive="user@trainer-b: Permission denied (publickey,password).",
            negative="PermissionError: [Errno 13] Permission denied",
            weight=0.9,
        ),
        Signature(
            pattern="Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED",
            literal="host key verification | host identification has",
            source="openssh",
            positive="Host key verification failed.",
            negative="host key verified",
            weight=0.92,
        ),
        Signature(
            pattern=r"ssh: connect to host \S+ port \d+: ",
            literal="ssh: connect to host",
            source="openssh",
            positive="ssh: connect to host trainer-b port 2222: Connection refused",
            negative="ssh: connected",
            weight=0.9,
        ),
        Signature(
            pattern=r"Command '\[?'?ssh\b.{0,200} returned non-zero exit status 255",
            literal="returned non-zero exit status",
            source="openssh returns 255 for its own errors; Python: subprocess",
            positive="subprocess.CalledProcessError: Command 'ssh -o PasswordAuthentication=no trainer-b hostname' returned non-zero exit status 255.",
            negative="Command 'ls' returned non-zero exit status 2",
            weight=0.85,
        ),
        Signature(
            pattern=r"(?:ssh|kex)_exchange_identification: |Connection (?:closed|reset) by \S+ port 22\b",
            literal="exchange_identification |  port 22",
            source="openssh",
            positive="kex_exchange_identification: Connection closed by remote host",
            negative="connection to port 22 ok",
            weight=0.75,
        ),
    ),
    explains=PEERS_SEE,
)
