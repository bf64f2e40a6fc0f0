"""Maintenance of a store on disk: ``db status``, ``check``, ``upgrade``, ``sql`` and ``trim``."""

from __future__ import annotations

import argparse
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from schedcore.basics.shown_urls import without_password
from schedcore.cli.base import DONE, PARTLY, Commands, add_load, counted, load, print_table
from schedcore.cli.stores import opened, store_url
from schedcore.clock import UTC, SystemClock, from_us
from schedcore.errors import InvalidOptionError, StoreError
from schedcore.stores.schema import META, MIGRATIONS, POSTGRESQL, SCHEMA, SQLITE, statements
from schedcore.stores.sql import SqlStore
from schedcore.stores.sql_checks import broken_rules, damage, holdings
from schedcore.stores.sql_history import Retention
from schedcore.stores.sql_jobs import UnreadableTrigger
from schedcore.stores.sql_nodes import trim
from schedcore.stores.urls import sqlite_path


def add_commands(commands: Commands) -> None:
    """Add ``db`` and its subcommands."""
    group = commands.add_parser(
        "db", allow_abbrev=False, help="maintain a store on disk"
    ).add_subparsers(title="what to do", required=True, metavar="WHAT")
    status = _add(group, "status", _status, "print the contents and the state of a store")
    status.add_argument("--json", action="store_true", help="print it as JSON")
    add_load(_add(group, "check", _check, "check that the contents of a store are consistent"))
    _add(group, "upgrade", _upgrade, "migrate the tables of a store to the current schema")
    _add(group, "sql", _sql, "print the statements that create the tables, for this kind of store")
    command = _add(group, "trim", _trim, "cut the history of a store")
    help_texts = {
        "per_job": "outcomes to keep of each job",
        "days": "days to keep an outcome",
        "overall": "outcomes to keep of all jobs together",
        "audit_days": "days to keep a change in the audit",
        "audit": "changes to keep in the audit",
        "outputs_per_job": "outputs of runs to keep of each job",
        "outputs": "outputs of runs to keep of all jobs together",
    }
    for name, value in Retention()._asdict().items():
        command.add_argument(
            f"--{name.replace('_', '-')}",
            type=int,
            default=value,
            metavar="N",
            help=f"{help_texts[name]} (default: {value:,})",
        )


def _add(
    group: Commands, name: str, run: Callable[[argparse.Namespace], int], description: str
) -> argparse.ArgumentParser:
    command = group.add_parser(
        name, allow_abbrev=False, help=description, description=f"{description}."
    )
    command.add_argument(
        "store", nargs="?", metavar="STORE", help="URL of the store (default: SCHEDULER_STORE)"
    )
    command.set_defaults(run=run)
    return command


def _opened(parsed: argparse.Namespace, upgrade: bool = False) -> SqlStore:
    """Return the store with the current schema.

    Raises:
        StoreError: if it has an older schema and *upgrade* is false: reading must not change it.
    """
    url = store_url(parsed.store, "store")
    schema = _schema_of_file(url)
    if schema is not None and schema < SCHEMA and not upgrade:
        raise StoreError(
            url, f"its schema is {schema}, and the current one is {SCHEMA}: run 'db upgrade'"
        )
    store = opened(url, make=upgrade)
    if not isinstance(store, SqlStore):
        raise InvalidOptionError("store", without_password(url), "a store on disk")
    return store


def _schema_of_file(url: str) -> int | None:
    """Return the schema version of a SQLite file, without changing it; None: unknown."""
    if not url.lower().startswith("sqlite:"):
        return None
    path = Path(sqlite_path(url)).absolute()
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            tables = {name for (name,) in connection.execute("select name from sqlite_master")}
            if "schedcore_meta" not in tables:
                return 0
            row = connection.execute("select value from schedcore_meta where name = 'schema'")
            return int(row.fetchone()[0])
    except sqlite3.Error as error:
        raise StoreError(str(path), f"it cannot be read: {error}") from error


def _status(parsed: argparse.Namespace) -> int:
    with closing(_opened(parsed)) as store:
        with store.database.read() as tx:
            held = holdings(tx)
        ended = {outcome.value: count for outcome, count in store.counts().items()}
        cluster = store.cluster
        nodes = [] if cluster is None else cluster.nodes()
        info = None if cluster is None else cluster.info()
    alive = [node for node in nodes if node.state in ("alive", "leaving")]
    next_due = None if held.next_due_us is None else from_us(held.next_due_us, UTC).isoformat()
    status: dict[str, object] = {
        "store": info and info.url,
        "schema": info and info.schema,
        "state": held.state,
        "jobs": {"scheduled": held.scheduled, "paused": held.paused, "parked": held.parked},
        "next_due": next_due,
        "open_runs": {
            "active": held.active,
            "waiting": held.waiting,
            "retrying": held.retrying,
        },
        "outcomes_kept": held.outcomes,
        "outcomes_ever": ended,
        "processes": len(alive),
    }
    if parsed.json:
        print(json.dumps(status))
    else:
        print_table((name.replace("_", " "), _shown(value)) for name, value in status.items())
    return DONE


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count:,} {name}" for name, count in value.items()) or "none"
    return "none" if value is None else str(value)


def _check(parsed: argparse.Namespace) -> int:
    load(parsed.load)
    with closing(_opened(parsed)) as store:
        with store.database.read() as tx:
            found = broken_rules(tx)
            if store.database.kind == "sqlite":
                found = damage(tx) + found
        unread = [e for e in store.entries() if isinstance(e.job.trigger, UnreadableTrigger)]
    for entry in unread:  # custom triggers are unknown here
        print(f"note: {entry.job.id}: {entry.job.trigger.reason}")  # type: ignore[attr-defined]
    for problem in found:
        print(f"wrong: {problem}")
    print(f"{counted(len(found), 'thing')} wrong" if found else "all adds up")
    return PARTLY if found else DONE


def _upgrade(parsed: argparse.Namespace) -> int:
    before = _schema_of_file(store_url(parsed.store, "store"))
    with closing(_opened(parsed, upgrade=True)) as store, store.database.read() as tx:
        ((now,),) = tx.all("select value from schedcore_meta where name = 'schema'")
    same = before is not None and before >= SCHEMA
    print(f"the schema is {now}{', as it was' if same else ''}")
    return DONE


def _sql(parsed: argparse.Namespace) -> int:
    url = store_url(parsed.store, "store")
    words = POSTGRESQL if url.lower().startswith("postgres") else SQLITE
    for statement in (META, *statements(words)):
        print(f"{' '.join(statement.split())};")
    for name, value in (("schema", SCHEMA), ("oldest_code", MIGRATIONS[-1].oldest_code)):
        print(f"insert into schedcore_meta values ('{name}', '{value}');")
    return DONE


def _trim(parsed: argparse.Namespace) -> int:
    keep = Retention(*(getattr(parsed, name) for name in Retention._fields)).checked()
    with closing(_opened(parsed)) as store:
        store.keep = keep
        cut = trim(store, SystemClock().now_us())
    print(f"{counted(cut, 'outcome')} deleted; all counts stay")
    return DONE
