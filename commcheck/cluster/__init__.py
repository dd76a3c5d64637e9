"""Every host against every other: what is measured between them, which hosts and links are bad, and the reports of it.

Pure: rounds, group_testing, judge, drift, and the renderers (to_*). Effects: what measures and what the hosts say to each
other. Nothing here imports torch."""
