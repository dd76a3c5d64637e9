"""A Slurm cluster on one machine: munge, a controller and a daemon per virtual host, each in its host's own network."""

import os
import shutil
import subprocess
import time
from contextlib import ExitStack, contextmanager

DAEMONS = ("munged", "slurmctld", "slurmd", "srun", "sinfo")
UP_SECONDS = 30.0

_CONF = """\
ClusterName=lab
SlurmctldHost={controller}({address})
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={directory}/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/linear
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool-%n
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd-%n.pid
{nodes}
PartitionName=all Nodes=ALL Default=YES State=UP MaxTime=INFINITE OverSubscribe=FORCE
"""


def missing():
    """Why there can be no cluster here; "" where there can."""
    absent = [name for name in DAEMONS if shutil.which(name) is None]
    if absent:
        return f"no {', '.join(absent)} on PATH (Debian: slurm-wlm munge)"
    return "" if os.geteuid() == 0 else "a Slurm cluster needs root"


class Cluster:
    """The cluster that is up; `run` is a shell on its first host."""

    def __init__(self, lab, environment):
        self.lab, self._environment = lab, environment

    def run(self, *argv, seconds=90, **environment):
        """A command on the first host, with further variables."""
        return subprocess.run(
            self.lab.hosts[0].argv(argv),
            env={**self._environment, **environment},
            capture_output=True,
            text=True,
            timeout=seconds,
        )


@contextmanager
def cluster(lab, directory, *further):
    """Start it with further lines of configuration, wait until all hosts are idle, and end it."""
    (directory / "state").mkdir()
    directory.chmod(0o755)
    key = directory / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    nodes = "\n".join(f"NodeName={h.name} NodeAddr={h.address} CPUs=2 Port=6818 State=UNKNOWN" for h in lab.hosts)
    conf = directory / "slurm.conf"
    first = lab.hosts[0]
    text = _CONF.format(controller=first.name, address=first.address, directory=directory, nodes=nodes)
    conf.write_text("\n".join((text, *further, "")))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "PYTEST"))}
    environment |= {"SLURM_CONF": str(conf), "NO_COLOR": "1"}
    with ExitStack() as stack:

        def start(argv):
            with (directory / "daemons.log").open("ab") as log:
                process = subprocess.Popen(argv, env=environment, stdout=log, stderr=subprocess.STDOUT)
            stack.callback(_end, process)

        files = {name: directory / f"munge.{name}" for name in ("socket", "pid", "log", "seed")}
        munge = [f"--{kind}{'' if kind == 'socket' else '-file'}={path}" for kind, path in files.items()]
        start(["munged", "--foreground", "--force", f"--key-file={key}", *munge])
        _until(files["socket"].exists, "munged made no socket", directory)
        start(first.argv(["slurmctld", "-D", "-i"]))
        for host in lab.hosts:
            start(host.argv(["slurmd", "-D", "-N", host.name]))
        made = Cluster(lab, environment)
        _until(
            lambda: made.run("sinfo", "-h", "-o", "%T %D").stdout.strip() == f"idle {len(lab.hosts)}",
            "the hosts did not come up",
            directory,
        )
        yield made


def _until(there, what, directory):
    deadline = time.monotonic() + UP_SECONDS
    while not there():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: {(directory / 'daemons.log').read_text()[-2000:]}")
        time.sleep(0.1)


def _end(process):
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
