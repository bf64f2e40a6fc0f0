"""The output of runs: captured, bounded, and without secrets."""
