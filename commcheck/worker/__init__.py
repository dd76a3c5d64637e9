"""The only importer of torch: one rank of a world, and the process that ranks are forked from.

What may not be here: judgement, and anything that another part of commcheck imports. It runs only as a child
process, and speaks through its journal.
"""
