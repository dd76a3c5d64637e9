"""Scenarios: faults declared in files, made in the lab, and the scoreboard that holds the analyzer to the truth.

load -> check -> run (a real world through `commcheck.api.preflight`) -> outcome -> scoreboard

What may not be here: judgement. What a world's evidence means is `commcheck.diagnose`'s to say; here it is only compared
with what the file expects."""
