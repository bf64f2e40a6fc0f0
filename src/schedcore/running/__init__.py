"""Open runs: submitted to executors, timed, waited for, ended, and announced."""
