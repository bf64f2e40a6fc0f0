"""Jobs as examples, for the description of the API."""

from __future__ import annotations

from typing import Final

from schedhttp.shapes import Json

NEW_JOBS: Final[dict[str, Json]] = {
    "interval": {
        "id": "test_job",
        "func": "mymodule:my_function",
        "trigger": "interval",
        "seconds": 30,
        "name": "Test Job",
    },
    "cron": {
        "id": "daily_task",
        "func": "tasks:daily_cleanup",
        "trigger": "cron",
        "hour": 2,
        "minute": 0,
        "misfire_grace_time": 300,
    },
    "date": {
        "id": "delayed_task",
        "func": "tasks:process_data",
        "trigger": {"trigger": "date", "run_date": "2030-12-25T10:00:00"},
        "args": ["data.json"],
        "kwargs": {"format": "json"},
    },
}
"""New jobs, by what they are an example of."""
SHOWN_JOB: Final[Json] = {
    "id": "test_job",
    "name": "Test Job",
    "func": "mymodule:my_function",
    "args": [],
    "kwargs": {},
    "trigger": "interval",
    "seconds": 30,
    "start_date": "2030-11-23T21:42:59+00:00",
    "timezone": "Etc/UTC",
    "executor": "default",
    "misfire_grace_time": None,
    "coalesce": True,
    "max_instances": 1,
    "overlap": "skip",
    "timeout": None,
    "retry": None,
    "on_lost": "record",
    "tags": [],
    "on_failure": [],
    "on_recovery": [],
    "on_missed": [],
    "on_run": [],
    "next_run_time": "2030-11-23T21:42:59+00:00",
    "state": "scheduled",
    "last_run": {
        "run_id": "1795645412310251482913",
        "outcome": "executed",
        "at": "2030-11-23T21:42:29.108220+00:00",
    },
    "failures_in_a_row": 0,
    "mean_duration": 0.057,
    "p95_duration": 0.061,
}
"""How one of them is shown once it is added."""
