"""What should happen, before any world is started: a pure function of the settings of all ranks and their hosts' facts.

It forms, it fails (with the cause and its symptom), it is slow, or it is not known, and always why. Where a world does
otherwise, that is a finding: a fault of the cluster, a bug of the library, or a gap in what is written here.

What may not be here: the environment, sockets, processes, the clock, randomness.

model       the answer's types, and in which order the parts are asked
settings    what the ranks were told: claims, variables, backends
store       whether all ranks meet at the store: port, name, address
mesh        which address each rank's gloo offers, and whether the one that has to can connect to it
calls       whether gloo has the calls that are to be issued
own         what one process alone can tell: for lint
"""
