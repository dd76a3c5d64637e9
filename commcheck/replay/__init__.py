"""Worlds that were seen, kept as one file each, and run again.

The core is pure: what a bundle holds, which hosts its facts describe, which calls a dump records, which ranks stand for
the others, whether a verdict is the same. What may not be here: judgement of a world (that is diagnose's), torch.

bundle      what is kept of one world, without secrets; `file` writes and reads it
hosts       recorded facts -> virtual hosts; `dressed` builds them (effects)
calls       dumps of PyTorch's flight recorder -> the calls of each rank; `fold` and `script`: as a world of fewer ranks
again       run a bundle or a recording again (effects)
compare     whether it said the same
"""
