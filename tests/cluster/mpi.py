"""mpirun between virtual hosts: its launcher is told to start its daemons with a program that enters a host, as ssh would."""

import os
import shutil

COMMANDS = {"openmpi": "mpirun.openmpi", "hydra": "mpiexec.hydra"}
_PACKAGES = {"openmpi": "openmpi-bin", "hydra": "mpich"}


def missing(kind):
    """Why there can be no such launcher here; "" where there can."""
    return "" if shutil.which(COMMANDS[kind]) else f"no {COMMANDS[kind]} on PATH (Debian: {_PACKAGES[kind]})"


def agent(lab, directory):
    """A program that is called as ssh is (flags, host, command), and runs the command in the virtual host of that name or
    address."""
    table = "\n".join(f"{host.name}|{host.address}) in={host.pid};;" for host in lab.hosts)
    script = directory / "enter-host"
    script.write_text(
        "#!/bin/sh\n"
        'while [ "${1#-}" != "$1" ]; do shift; done\n'
        f'case "$1" in\n{table}\n*) echo "no host $1" >&2; exit 255;;\nesac\n'
        "shift\n"
        'exec nsenter --target "$in" --net --uts --mount -- /bin/sh -c "$*"\n'
    )
    script.chmod(0o755)
    return str(script)


def argv(kind, lab, directory, settings):
    """The launcher's words for one rank per host; what follows is the program."""
    names = ",".join(host.name for host in lab.hosts)
    enter = agent(lab, directory)
    network = lab.hosts[0].wires[0].name
    if kind == "hydra":
        words = ("mpiexec.hydra", "-launcher", "ssh", "-launcher-exec", enter, "-iface", network, "-hosts", names)
        given = [word for name, value in settings.items() for word in ("-genv", name, value)]
        return (*words, "-ppn", "1", "-n", str(len(lab)), "-prepend-rank", *given)
    words = ("mpirun.openmpi", "--allow-run-as-root", "--tag-output", "--host", names, "-np", str(len(lab)))
    network_of = [w for name in ("oob_tcp_if_include", "btl_tcp_if_include") for w in ("--mca", name, network)]
    given = [word for name, value in settings.items() for word in ("-x", f"{name}={value}")]
    return (*words, "--mca", "plm_rsh_agent", enter, *network_of, *given)


def environment():
    """What the launcher is started with."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("OMPI_", "PMI", "HYDRA_", "PYTEST"))
    }
    return {**kept, "PYTHONPATH": os.getcwd(), "NO_COLOR": "1"}
