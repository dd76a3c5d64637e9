"""What ranks communicate: each module exports STEPS, the calls of its phases. New workload, new file."""
