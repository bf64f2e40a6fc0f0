"""What runs print and log: captured, bounded, and without secrets."""
