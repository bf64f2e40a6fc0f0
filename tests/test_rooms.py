"""The core's imports go up the list in docs/explanation/design.md; in a folder, to its ``base``."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src"


def rooms():
    """Yield the rooms of the engine in their order: files, and folders without their slash."""
    text = (SRC.parent / "docs" / "explanation" / "design.md").read_text("utf-8")
    block = re.search(r"^src/schedcore/$(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert block is not None, "docs/explanation/design.md has no list of the core's rooms"
    for line in block[1].splitlines():
        for name in re.findall(r"\S+(?:\.py|/)(?=\s)", line.strip().partition("  ")[0] + " "):
            yield name.removesuffix(".py").strip("/").replace("/", ".")


CORE = list(rooms())
"""The rooms of the engine, each of which imports only from those before it."""
STORES = [
    *("ends", "positions", "run_requests", "base", "contract", "checked"),
    *("differences", "audit_records", "not_run", "declared", "change_log", "outputs"),
    *("open_runs", "memory_declared", "memory_queues", "memory_records"),
    *("memory_notices", "memory", "cluster", "database", "schema", "sql_order"),
    *(
        "sql_totals",
        "sql_history",
        "sql_output",
        "sql_audit",
        "sql_records",
        "sql_due",
        "sql_jobs",
    ),
    *("sql_notices", "claims", "process", "unbegun", "sql_runs", "sql_begun", "sql_remote"),
    *("sql_checks", "sql_settle", "sql_ends", "sql_open", "sql", "file_lock", "sql_nodes"),
    *("sqlite_file", "sqlite_cluster", "sqlite", "postgres_sockets", "postgres_sql"),
    *(
        "postgres_url",
        "postgres_in_doubt",
        "postgres_pool",
        "postgres_lease",
        "postgres_housekeeping",
    ),
    *("postgres_cluster", "postgres", "urls"),
]
"""The files of that folder, each of which imports only from those before it."""


EXECUTORS = [
    *("base", "remote", "inline", "coroutines", "threads", "futures", "remote_text"),
    *("cluster_base", "cluster_runs", "cluster", "cluster_worker", "celery_task"),
    *("celery", "dask", "worker", "processes"),
]
"""The same of executors."""


def is_module(name):
    """Return whether a dotted name is that of a file."""
    return (SRC / name.replace(".", "/")).with_suffix(".py").exists()


def imported(path):
    """Return the modules that a file imports when it runs, those for annotations apart."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for name in node.names:
                whole = f"{node.module}.{name.name}"
                top = node.module == "schedcore"
                yield whole if top or is_module(whole) else node.module
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            pytest.fail(f"{path} imports relatively")


def room_of(module):
    """Return the place in the list that a module has: its own, or that of its folder."""
    while module not in CORE and "." in module:
        module = module.rpartition(".")[0]
    return module


CORE_FILES = sorted((SRC / "schedcore").rglob("*.py"))


def test_the_engine_imports_from_what_is_above_it():
    for path in CORE_FILES:
        check_imports(path)


def check_imports(path):
    parts = path.relative_to(SRC / "schedcore").with_suffix("").parts
    if parts[1:] == ("__init__",) and not list(imported(path)):
        return
    room = room_of(".".join(parts))
    assert room in CORE, f"{room} has no place in docs/explanation/design.md: give it one"
    for module in imported(path):
        assert not module.startswith("schedhttp"), f"{path.name} knows of its front"
        if not module.startswith("schedcore."):
            continue
        target = room_of(module.removeprefix("schedcore."))
        if target not in CORE:  # a name that schedcore itself exports
            assert room.startswith("__"), f"{path.name} imports {module} from the top"
        elif target != room:
            assert CORE.index(target) < CORE.index(room), (
                f"{path.name} imports {module}, which is below it"
            )
        elif room == "stores" and parts[-1] != "__init__":
            neighbour = module.split(".")[2]
            assert STORES.index(neighbour) < STORES.index(parts[-1]), (
                f"{path.name} imports {module}, which is below it"
            )
        elif room == "executors" and parts[-1] != "__init__":
            neighbour = module.split(".")[2]
            assert EXECUTORS.index(neighbour) < EXECUTORS.index(parts[-1]), (
                f"{path.name} imports {module}, which is below it"
            )


def test_the_list_has_no_more_than_there_is():
    there = {path.relative_to(SRC / "schedcore").with_suffix("").parts for path in CORE_FILES}
    assert set(CORE) <= {room_of(".".join(parts)) for parts in there}


def test_only_one_file_reads_the_clock():
    for path in CORE_FILES:
        if path.name != "clock.py":
            modules = set(imported(path))
            assert "time" not in modules, f"{path} imports time"


def test_only_one_file_imports_croniter():
    users = [path.name for path in CORE_FILES if "croniter" in set(imported(path))]
    assert users == ["crontab.py"]


ALL_FILES = sorted(SRC.rglob("*.py"))
LONGEST_FILE = 450
LONGEST_FUNCTION = 60
"""Lines of its body, beside the docstring."""


def lengths(path):
    """Yield the name of each function in a file, and how many lines its body has."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[1:2] if ast.get_docstring(node) else node.body
            yield node.name, node.end_lineno - first[0].lineno + 1 if first else 0


def test_files_and_functions_are_short():
    long = {str(path): len(path.read_text("utf-8").splitlines()) for path in ALL_FILES}
    assert {name: count for name, count in long.items() if count > LONGEST_FILE} == {}
    functions = [(str(path), *pair) for path in ALL_FILES for pair in lengths(path)]
    assert [each for each in functions if each[2] > LONGEST_FUNCTION] == []
