"""What docstrings and pages name is there."""

from __future__ import annotations

import ast
import importlib
import re
from functools import cache
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src"
ROLE = re.compile(r":(?:class|meth|func|data|mod|attr|exc):`(?:[^`<]*<)?~?([\w.]+)>?`")
PATH = re.compile(r"\b((?:schedcore|schedhttp)(?:\.\w+)+)")
MODULES = {
    ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SRC.rglob("*.py"))
    if path.name != "__main__.py"
}
SCRIPTS = {"schedhttp.gunicorn_conf", "schedhttp.wsgi"}
"""Modules that do something when they are imported."""


@cache
def namespace(module):
    return importlib.import_module(module)


def docstrings(path):
    """Yield each docstring of a file, with the names of the classes around it."""

    def visit(node, classes):
        inner = [*classes, node.name] if isinstance(node, ast.ClassDef) else classes
        for child in ast.iter_child_nodes(node):
            text = getattr(getattr(child, "value", None), "value", None)
            if isinstance(child, ast.Expr) and isinstance(text, str):
                yield text, inner
            yield from visit(child, inner)

    yield from visit(ast.parse(path.read_text("utf-8")), [])


def leads_somewhere(start, parts):
    """Return whether a dotted name leads from a module or class to something."""
    found = start
    for number, part in enumerate(parts):
        if hasattr(found, part):
            found = getattr(found, part)
            continue
        own = f"{getattr(found, '__name__', '')}.{part}"
        if own in MODULES and own not in SCRIPTS:
            found = namespace(own)
            continue
        # An attribute of instances: an annotation, or one that the class documents.
        documented = getattr(found, "__doc__", None) or ""
        return number == len(parts) - 1 and (
            part in getattr(found, "__annotations__", {})
            or re.search(rf"^ *{part}:", documented, re.MULTILINE) is not None
        )
    return True


def resolves(name, module, classes):
    """Return whether a name in a docstring leads somewhere, seen from its module and classes."""
    parts = name.split(".")
    if parts[0] in ("schedcore", "schedhttp"):
        return name in SCRIPTS or leads_somewhere(namespace(parts[0]), parts[1:])
    starts = [namespace(module), namespace("schedcore")]
    for depth in range(len(classes)):
        found = starts[0]
        for outer in classes[: depth + 1]:
            found = getattr(found, outer, found)
        starts.append(found)
    return any(leads_somewhere(start, parts) for start in starts)


PACKAGES = sorted({module.rpartition(".")[0] or module for module in MODULES})


@pytest.mark.parametrize("package", PACKAGES)
def test_what_a_docstring_names_is_there(package):
    if ".flask" in package:
        pytest.importorskip("flask")
    for module in sorted(MODULES.keys() - SCRIPTS):
        if (module.rpartition(".")[0] or module) == package:
            check_names(module)


def check_names(module):
    for text, classes in docstrings(MODULES[module]):
        for name in {*ROLE.findall(text), *PATH.findall(text)}:
            assert resolves(name.rstrip("."), module, classes), (
                f"{module}: {name} is nowhere: {text[:80]!r}"
            )


DOCS = sorted((SRC.parent / "docs").rglob("*.md"))


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_a_file_that_a_page_names_is_there(path):
    """Files are named in backquotes: `src/...`, `tests/...`, `docs/...` or a file of a package."""
    for name in re.findall(r"`([\w/]+\.pyi?)`", path.read_text("utf-8")):
        if name.startswith(("src/", "tests/", "docs/", "examples/", "benchmarks/")):
            assert (SRC.parent / name).exists(), name
        elif "/" in name:
            tops = (SRC, SRC / "schedcore", SRC / "schedhttp")
            assert any((top / name).exists() for top in tops), name
