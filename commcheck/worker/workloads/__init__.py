"""What ranks communicate: each module exports FIRST and VERIFY, the calls of those phases, and LOOKS: whether the ranks
also probe each other, name the members and read the kernel's tables. New workload, new file."""
