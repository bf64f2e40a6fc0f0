"""Tables in a process of their own, that clients see through a socket: what a database is.

Run as a program it serves; it knows nothing of jobs, and imports nothing of the project.
"""

from __future__ import annotations

import atexit
import functools
import os
import pickle
import subprocess
import sys
import threading
from collections import defaultdict
from contextlib import contextmanager
from multiprocessing.connection import Client, Connection, Listener

LOG = 100
"""Entries of the log of changes that are kept."""


def send(connection, message):
    """Send a message as ``connection.send`` does, which makes a new kind of pickler each time."""
    connection.send_bytes(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))


class Database:
    """Rows by key in tables by name, changed by one client at a time.

    A row is a dict that is never changed, only replaced; so a copy of the tables can be put back.
    """

    def __init__(self):
        self.lock = threading.Lock()
        self.tables = defaultdict(dict)

    def serve(self, connection, tokens):
        """Serve one transaction, up to its end; undo it if the client goes away."""
        with self.lock:
            before = {}  # tables that it changes
            try:
                while (request := connection.recv())[0] != "commit":
                    if request[0] == "rollback":
                        self._undo(before)
                        break
                    self._do(connection, tokens, before, *request)
            except BaseException:
                self._undo(before)
                raise
            log = self.tables["log"]
            for key in list(log)[: max(0, len(log) - LOG)]:
                del log[key]
        send(connection, "done")

    def _undo(self, before):
        self.tables.update(before)

    def _do(self, connection, tokens, before, verb, table, *given):
        rows = self.tables[table]
        if verb in ("put", "delete", "next") and table not in before:
            before[table] = dict(rows)
        if verb == "put":
            rows[given[0]] = given[1]
        elif verb == "delete":
            rows.pop(given[0], None)
        elif verb == "row":
            send(connection, rows.get(given[0]))
        elif verb == "rows":
            column, value = given
            send(connection, [row for row in rows.values() if row[column] == value])
        elif verb == "all":
            send(connection, list(rows.items()))
        elif verb == "next":
            rows["last"] = number = rows.get("last", 0) + 1
            if table == "tokens":
                tokens.add(number)
            send(connection, number)
        else:
            raise ValueError(verb)

    def release(self, tokens):
        """Give back what a client had taken that went away."""
        with self.lock:
            jobs = self.tables["jobs"]
            for key, row in list(jobs.items()):
                if row["taken"] in tokens:
                    jobs[key] = row | {"taken": None}


def _attend(connection, databases):
    tokens = set()
    database = None
    try:
        database = databases[connection.recv()]
        while True:
            assert connection.recv() == "begin"
            database.serve(connection, tokens)
    except (EOFError, OSError):
        if database is not None:
            database.release(tokens)


def _main():
    databases = defaultdict(Database)
    with Listener() as listener:
        print(listener.address, flush=True)
        # Ends with the tests, however those end.
        threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
        while True:
            connection = listener.accept()
            threading.Thread(target=_attend, args=(connection, databases), daemon=True).start()


@functools.cache
def _address():
    """Start the process that all tests share, and return where it listens."""
    process = subprocess.Popen(
        [sys.executable, "-S", __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def end():
        process.stdin.close()
        process.wait()
        process.stdout.close()

    atexit.register(end)
    return process.stdout.readline().strip()


class Session:
    """A client's connection to one database.  Thread-safe: one transaction at a time.

    Args:
        name: Which database; clients that give the same one share it.
    """

    def __init__(self, name):
        self._lock = threading.Lock()
        self._connection: Connection = Client(_address())
        send(self._connection, name)

    @contextmanager
    def transaction(self):
        """Make what is done inside all at once, or not at all after an error."""
        with self._lock:
            send(self._connection, "begin")
            try:
                yield
            except BaseException:
                self._ask("rollback")
                raise
            self._ask("commit")

    def _ask(self, *request):
        send(self._connection, request)
        return self._connection.recv()

    def put(self, table, key, row):
        send(self._connection, ("put", table, key, row))

    def delete(self, table, key):
        send(self._connection, ("delete", table, key))

    def row(self, table, key):
        return self._ask("row", table, key)

    def rows(self, table, column, value):
        return self._ask("rows", table, column, value)

    def all(self, table):
        return self._ask("all", table)

    def next(self, counter):
        return self._ask("next", counter)

    def close(self):
        self._connection.close()


if __name__ == "__main__":
    _main()
