"""Wordings of logs for causes whose rules live elsewhere, as data: `SIGNATURES` in each module, by cause id.

What may not be here: code that judges. `commcheck.diagnose.scan` merges these with the signatures in the rules' own
files. A line that several causes explain equally well is listed under each of them with a low weight.
"""
