"""Causes that NCCL's settings and its library show before a GPU is touched.

What may not be here: a look at the host or the library (they come as `HostFacts.nccl`)."""
