"""The open runs: on their way to executors, timed, waited for, ended, and announced."""
