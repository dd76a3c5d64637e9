"""What the field knows, as typed rows: symptoms, fix patterns, environment variables.

What may not be here: effects of any kind (no look at this machine, its environment, the clock or a file), judgement
(a row says what is, a rule says what is wrong), and imports other than `commcheck.model` and the standard library's
cheapest modules: `commcheck lint` and `commcheck explain` load these rows on every start.
"""
