"""Causes that are about the way that NCCL takes: RDMA cards, their ports and addresses. What may not be here: a look at /sys."""
