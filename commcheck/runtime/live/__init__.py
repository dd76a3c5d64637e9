"""Look at a job that somebody else started and that runs: which processes are its ranks, what each of them does.

What may not be here: signals, ptrace, anything that stops, slows or changes a process of the job; judgement.
"""
