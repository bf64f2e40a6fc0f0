"""Starts and stops a scheduler in the processes of a server."""
