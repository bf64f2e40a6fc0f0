"""The front's imports go down its rooms, never up."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src" / "schedhttp"

ROOMS = {
    "refusals": 0,
    "incoming": 0,
    "sameness": 0,
    "reading": 0,
    "workers.wire": 0,
    "workers.gunicorn": 0,
    "workers.__init__": 0,
    "connection": 0,
    "build": 2,
    "workers.reloader": 1,
    "codec": 0,
    "appcontext": 0,
    "settings": 1,
    "bodies": 1,
    "duetimes": 0,
    "bounds": 0,
    "kept": 1,
    "security.ratelimit": 1,
    "security.allowlist": 2,
    "security.origins": 2,
    "waiting": 1,
    "conditions": 2,
    "cors": 1,
    "listing": 2,
    "security.authentication": 3,
    "views": 3,
    "insights": 4,
    "problems": 4,
    "routes": 5,
    "addresses": 6,
    "schemas": 3,
    "openapi": 6,
    "app": 7,
    "workers.leader": 8,
    "workers.proxy": 9,
    "announcing": 9,
    "workers.host": 10,
    "flaskcli": 0,
    "flaskconfig": 2,
    "flaskmount": 8,
    "flaskjobs": 1,
    "checks": 11,
    "flask": 11,
    "wsgi": 11,
    "server": 11,
    "gunicorn_conf": 12,
    "__main__": 12,
    "security.__init__": 0,
    "__init__": 12,
}


FOLDERS = ("schedhttp", "schedhttp.security", "schedhttp.workers")


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module in FOLDERS:
            folder = node.module[len("schedhttp") :].lstrip(".")
            yield from (f"{folder}.{name.name}".lstrip(".") for name in node.names)
        elif isinstance(node, ast.ImportFrom) and str(node.module).startswith("schedhttp."):
            yield node.module[len("schedhttp.") :]


def room_of(path):
    return ".".join(path.relative_to(SRC).with_suffix("").parts)


@pytest.mark.parametrize("path", sorted(SRC.rglob("*.py")), ids=room_of)
def test_the_front_imports_downwards(path):
    room = room_of(path)
    assert room in ROOMS, f"{room} has no place in the rooms: give it one"
    for target in imported(path):
        assert ROOMS[target] < ROOMS[room], f"{room} imports {target}"


def test_only_the_flask_mount_needs_flask():
    users = [path.stem for path in SRC.rglob("*.py") if "from flask import" in path.read_text()]
    assert sorted(users) == ["appcontext", "flask", "flaskmount"]
