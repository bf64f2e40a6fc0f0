"""What the project is called where it is installed, and what it tells people to install."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import schedcore
import schedhttp

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
TEXTS = [
    path
    for pattern in ("*.md", "docs/**/*.md", "src/**/*.py", "examples/*", "Makefile", ".ci/*")
    for path in ROOT.glob(pattern)
]
STRANGERS = re.compile(r"pip install\b[^\n]*?(?<![\w/.-])schedcore(?!-engine)\b")


def test_nobody_is_told_to_install_what_belongs_to_somebody_else():
    """On the package index, "schedcore" is another project, with a package of the same name."""
    assert STRANGERS.search("pip install -U 'schedcore[election]'")
    assert len(TEXTS) > 80
    told = {str(path): STRANGERS.findall(path.read_text("utf-8")) for path in TEXTS}
    assert {path: found for path, found in told.items() if found} == {}


def test_the_extras_refer_to_the_project_itself():
    assert PROJECT["name"] == "schedcore-engine"
    required = [each for extra in PROJECT["optional-dependencies"].values() for each in extra]
    names = {re.split(r"[\[<>=]", each)[0] for each in required}
    assert "schedcore-engine" in names
    assert "schedcore" not in names


def test_both_packages_tell_one_version():
    assert schedhttp.__version__ == schedcore.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", schedcore.__version__)


@pytest.mark.parametrize("command", ["schedcore", "schedhttp"])
def test_the_commands_tell_the_version(command):
    told = subprocess.run(
        [sys.executable, "-m", command, "--version"], capture_output=True, text=True, check=True
    )
    assert told.stdout == f"{command} {schedcore.__version__}\n"
