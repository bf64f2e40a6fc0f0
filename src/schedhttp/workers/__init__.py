"""A scheduler in the processes of a server: when it starts there, and when it ends."""
