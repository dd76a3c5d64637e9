"""Virtual hosts on one Linux machine, and faults of host and network to make there.

Needs root; that of a user namespace will do (`lab.unprivileged`).

`Lab(Topology(hosts=4))` gives hosts that differ as real ones do: each has its own interfaces, routes, firewall, host name,
/etc/hosts, /etc/resolv.conf and /sys. They are anonymous namespaces held open by small processes that die with
us, so that nothing has to be cleaned up, whichever way we end. Faults are kinds, one per module of `lab.faults`.
`lab.pool` uses labs again.

What may not be here: torch, hypothesis, judgement. A lab makes a world; others run it and say what is wrong.
"""

from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.lab.requirements import missing_for, missing_requirement

__all__ = ["Host", "Lab", "missing_for", "missing_requirement"]
