"""Every host against every other: what is measured between them, which hosts and links are bad, and the reports of it.

What may not be here: torch, and worlds of ranks. Pure, so without sockets, files or a clock: values, rounds, group_testing,
searching, untimed, addresses, blame, speed, pace, reach, drift, judge, saying, exclude, and the renderers (to_*). Effects:

agent        a host's side: it says what it is, and does what it is told
nccl         which libnccl a host has, and which address it would take
responder    where it listens, and what it answers
reaching     it tries all others at once
measuring    it measures the link to another; wire: what goes over a connection, byte by byte
lead         who tells all what to do, and collects
inlab        on virtual hosts, which it builds
joined       on the hosts of somebody's launcher
"""
