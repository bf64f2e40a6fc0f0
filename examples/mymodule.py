"""The function of the API's first example."""

from __future__ import annotations

from datetime import datetime, timezone

from places import inside

from schedcore import current_run


def my_function() -> str:
    """Append a line to ``my_function.log``: which job ran, when, and how late."""
    run = current_run()
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    line = f"{now} {run.job_id} {run.lateness * 1000:.1f} ms late"
    with inside("my_function.log").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    return line
