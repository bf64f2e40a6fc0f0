"""A program with a scheduler that does what its standard input says, a line of Python each.

    python -m tests.durable.served '{"store": "sqlite:///jobs.db", "name": "app"}'

It answers each line with one line of JSON: what the line gave, or what it raised.  Closed, it ends
without leaving.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from dataclasses import dataclass, field
from typing import Any

from schedcore import Outcome, Scheduler
from schedcore.run import Run, RunRecord
from schedcore.stores.sql_history import Retention
from schedcore.stores.sqlite import SqliteStore
from tests.durable import work


@dataclass
class Given:
    """What a program is started with."""

    store: str
    name: str = "app"
    keeps_all: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    def scheduler(self):
        store = self.store
        if self.keeps_all:
            keep = Retention(10**9, 365, 10**9)
            if store.startswith("sqlite"):
                store = SqliteStore(store.removeprefix("sqlite:///"), keep=keep)
            else:
                from schedcore.stores.postgres import PostgresStore

                store = PostgresStore(store, keep=keep)
        return Scheduler(timezone="UTC", store=store, name=self.name, **self.options)


def plain(value):
    """Return what can be told of a value in JSON."""
    if isinstance(value, Run | RunRecord):
        outcome = value.outcome
        run_id = value.id if isinstance(value, Run) else value.run_id
        return {"id": run_id, "job_id": value.job_id, "outcome": outcome and outcome.value}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return value._asdict()
    if isinstance(value, dict):
        return {k.value if isinstance(k, Outcome) else k: v for k, v in value.items()}
    return getattr(value, "name", None) or str(value)


def answer(line, names):
    """Run a line, and return its answer."""
    try:
        try:
            code = compile(line, "<told>", "eval")
        except SyntaxError:
            exec(compile(line, "<told>", "exec"), names)
            return {"value": None}
        value = eval(code, names)
        if isinstance(value, list | tuple) and not hasattr(value, "_asdict"):
            value = [plain(v) if not isinstance(v, str | int | float) else v for v in value]
        elif isinstance(value, dict) or hasattr(value, "_asdict"):
            value = plain(value)
        return {"value": value}
    except BaseException as error:
        traceback.print_exc()
        return {"error": type(error).__name__, "text": str(error)}


def serve(given):
    """Answer lines until there are none."""
    logging.basicConfig(format=f"{os.getpid()} %(asctime)s %(name)s %(message)s", level="INFO")
    names = {"scheduler": given.scheduler(), "work": work, "os": os, "Outcome": Outcome}
    while line := sys.stdin.readline():
        reply = answer(json.loads(line), names)
        sys.stdout.write(json.dumps(reply, default=plain) + "\n")
        sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    serve(Given(**json.loads(sys.argv[1])))
