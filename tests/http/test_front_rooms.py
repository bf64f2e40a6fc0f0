"""The front's imports go up the list in docs/explanation/design.md: there is no circle."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src" / "schedhttp"


def rooms():
    """Return the line of the list on which each file stands."""
    text = (ROOT / "docs" / "explanation" / "design.md").read_text("utf-8")
    block = re.search(r"^src/schedhttp/$(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert block is not None, "docs/explanation/design.md has no list of the front's rooms"
    return {
        name: number
        for number, line in enumerate(block[1].splitlines())
        for name in re.findall(r"\S+\.py\b", line)
    }


ROOMS = rooms()
FILES = {path.relative_to(SRC).as_posix(): path for path in sorted(SRC.rglob("*.py"))}


def imported(path):
    """Return the files of the front that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.ImportFrom) or node.level:
            continue
        package, *parts = str(node.module).split(".")
        if package == "schedhttp":
            for name in node.names:
                tried = ["/".join([*parts, name.name]) + ".py", "/".join(parts) + ".py"]
                yield next((file for file in tried if file in FILES), "__init__.py")


def test_the_front_imports_from_what_is_above_it():
    for name in FILES:
        check_imports(name)


def check_imports(name):
    targets = set(imported(FILES[name]))
    if name.endswith("/__init__.py") and not targets:
        return
    assert name in ROOMS, f"{name} has no place in docs/explanation/design.md: give it one"
    for target in targets:
        assert ROOMS[target] < ROOMS[name], f"{name} imports {target}"


def test_the_list_has_no_more_than_there_is():
    assert ROOMS.keys() <= FILES.keys()


def test_only_the_flask_mount_needs_flask():
    users = [name for name, path in FILES.items() if "from flask import" in path.read_text("utf-8")]
    assert users == [
        *("flask/app_context.py", "flask/config.py", "flask/extension.py", "flask/mount.py"),
        "flask/store_file.py",
    ]
