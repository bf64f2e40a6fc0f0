"""Imports go down the rooms, never up; inside a folder, only to its ``base``."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src"

CORE = {
    "exports": 0,
    "othernames": 0,
    "errors": 0,
    "logs": 0,
    "leader": 0,
    "clock": 1,
    "forks": 1,
    "funcref": 1,
    "heap": 1,
    "tagged_data": 1,
    "callables": 2,
    "runids": 2,
    "triggers": 2,
    "retry": 2,
    "leader.election": 2,
    "typed_options": 3,
    "job": 3,
    "run": 3,
    "events": 4,
    "planning": 4,
    "stores": 4,
    "executors": 4,
    "alarms": 4,
    "history": 4,
    "jobdata": 4,
    "changing": 5,
    "listing": 5,
    "leader.journal": 5,
    "telling": 5,
    "tracker": 5,
    "leader.handover": 6,
    "engine": 6,
    "loop": 6,
    "drafts": 7,
    "foreground": 7,
    "handle": 7,
    "health": 7,
    "leaving": 8,
    "jobbook": 8,
    "leader.membership": 8,
    "scheduler": 9,
    "simulation": 10,
    "testing": 10,
    "__init__": 11,
    "__main__": 11,
}
SAME_LEVEL = {("run", "job"), ("tracker", "telling")}
"""Rooms of one level of which the first may import the second."""


def imported(path):
    """Return the modules that a file imports when it runs, those for annotations apart."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield from (
                [f"{node.module}.{name.name}" for name in node.names]
                if node.module in ("schedcore", "schedcore.leader")
                else [node.module]
            )
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            pytest.fail(f"{path} imports relatively")


def room_of(module):
    """Return the room of a module; the files of the folder ``leader`` have one each."""
    room, *rest = module.split(".")[:2]
    return f"{room}.{rest[0]}" if room == "leader" and rest and rest[0] != "__init__" else room


CORE_FILES = sorted((SRC / "schedcore").rglob("*.py"))


@pytest.mark.parametrize("path", CORE_FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_the_engine_imports_downwards(path):
    parts = path.relative_to(SRC / "schedcore").with_suffix("").parts
    room = room_of(".".join(parts))
    assert room in CORE, f"{room} has no place in the rooms: give it one"
    for module in imported(path):
        assert not module.startswith("schedhttp"), f"{path.name} knows of its front"
        if not module.startswith("schedcore."):
            continue
        target = room_of(module.removeprefix("schedcore."))
        if target not in CORE:  # a name that schedcore itself exports
            assert CORE[room] == 11, f"{path.name} imports {module} from the top"
        elif target != room:
            assert CORE[target] < CORE[room] or ((room, target) in SAME_LEVEL), (
                f"{path.name} (room {CORE[room]}) imports {module} (room {CORE[target]})"
            )
        elif room in {"stores", "executors"} and parts[-1] != "__init__":
            assert module.endswith(".base"), f"{path.name} imports its neighbour {module}"


def test_only_one_file_reads_the_clock():
    for path in CORE_FILES:
        if path.name != "clock.py":
            modules = set(imported(path))
            assert "time" not in modules, f"{path} imports time"


def test_only_one_file_imports_croniter():
    users = [path.name for path in CORE_FILES if "croniter" in set(imported(path))]
    assert users == ["crontab.py"]
