"""Authentication, permissions, and the functions that requests may name."""
