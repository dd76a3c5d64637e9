"""The process is never started. The launcher acts on it; nothing is left to do in a rank."""

from commcheck.worker.context import Fault

FAULT = Fault
