"""A cluster's report for LBNL's Node Health Check, which asks on each node: is this one bad?"""

from commcheck.cluster.summary import HostSummary, hosts, roots
from commcheck.model.cluster import ClusterReport
from commcheck.model.diagnosis import Verdict
from commcheck.report.to_nhc import line


def render(report: ClusterReport, host: str) -> str:
    """One line about `host`."""
    own = of(report, host)
    if own is None:
        return line("NOT JUDGED", f"{host} is none of the {len(report.hosts)} hosts of this report")
    if bad(report, host):
        named = [d for d in roots(report) if own.row.name in d.hosts]
        said = (
            named[0].title if named else f"{own.row.name} said nothing" if own.row.said_nothing else "better left out"
        )
        return line("ERROR", said, named[0].cause if named else "")
    if report.verdict is Verdict.INCONCLUSIVE:
        return line("NOT JUDGED", "; ".join(report.not_evaluated) or "the cluster could not be judged")
    others = len(report.bad_hosts)
    more = f"; {others} other host{' is' if others == 1 else 's are'} bad" if others else ""
    return line("OK", f"{own.row.name} is not among the bad hosts{more}")


def exit_code(report: ClusterReport, host: str) -> int:
    """1 where this host is bad; that others are, or that it could not be judged, takes no node out of service."""
    return int(bad(report, host))


def bad(report: ClusterReport, host: str) -> bool:
    """The report says of this host that it is better left out."""
    own = of(report, host)
    return own is not None and own.bad


def of(report: ClusterReport, host: str) -> HostSummary | None:
    """The host by its name, in full or up to the first dot."""
    each = hosts(report)
    short = host.partition(".")[0]
    exact = [h for h in each if h.row.name == host]
    return next(iter((*exact, *(h for h in each if h.row.name.partition(".")[0] == short))), None)
