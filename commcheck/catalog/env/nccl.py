"""NCCL."""

from commcheck.catalog.env.row import EnvVar

ROWS: tuple[EnvVar, ...] = ()
