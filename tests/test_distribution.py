"""What the project is called where it is installed, and what it tells people to install."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

import schedcore
import schedhttp

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
GROUPS = PYPROJECT["dependency-groups"]
TEXTS = [
    path
    for pattern in ("*.md", "docs/**/*.md", "src/**/*.py", "examples/*", "Makefile", ".ci/*")
    for path in ROOT.glob(pattern)
    if path.is_file()
]
STRANGERS = re.compile(r"pip install\b[^\n]*?(?<![\w/.-])schedcore(?!-engine)\b")


def test_nobody_is_told_to_install_what_belongs_to_somebody_else():
    """On the package index, "schedcore" is another project, with a package of the same name."""
    assert STRANGERS.search("pip install -U 'schedcore[election]'")
    assert len(TEXTS) > 80
    told = {str(path): STRANGERS.findall(path.read_text("utf-8")) for path in TEXTS}
    assert {path: found for path, found in told.items() if found} == {}


def names_of(requirements):
    return {re.split(r"[\[<>=;~! ]", each)[0] for each in requirements if isinstance(each, str)}


def test_the_extras_refer_to_the_project_itself():
    assert PROJECT["name"] == "schedcore-engine"
    required = [each for extra in EXTRAS.values() for each in extra]
    assert "schedcore-engine" in names_of(required)
    assert "schedcore" not in names_of([*required, *chain(*GROUPS.values())])


def test_all_is_all_that_is_optional():
    """It is what the tests run with."""
    (everything,) = EXTRAS["all"]
    assert set(re.split(r"[\[\],]", everything)[1:-1]) == EXTRAS.keys() - {"all"}


def test_what_only_developers_need_is_no_extra():
    """An extra is for good: it is in the metadata of what is installed."""
    assert GROUPS.keys() >= {"bench", "dev", "release"}
    assert not GROUPS.keys() & EXTRAS.keys()


def test_each_python_that_is_supported_is_named():
    minors = [int(m) for m in re.findall(r":: 3\.(\d+)", "\n".join(PROJECT["classifiers"]))]
    least = PROJECT["requires-python"]
    assert least == f">=3.{minors[0]}"
    assert minors == list(range(minors[0], minors[-1] + 1))


def test_there_is_no_address_that_nobody_has():
    """A wrong one would send people, and their reports, to a stranger."""
    assert all(url.startswith("https://") for url in PROJECT.get("urls", {}).values())
    assert not any("example" in url for url in PROJECT.get("urls", {}).values())


KINDS = PYPROJECT["tool"]["towncrier"]["fragment"]
FRAGMENTS = [file for file in (ROOT / "changes").iterdir() if file.name != "README.md"]


def test_each_change_is_of_a_kind_that_the_changelog_has():
    """towncrier leaves others out without a word."""
    name = re.compile(rf"\+[\w-]+\.({'|'.join(KINDS)})\.md")
    assert [file.name for file in FRAGMENTS if not name.fullmatch(file.name)] == []
    assert all(file.read_text("utf-8").strip() for file in FRAGMENTS)
    assert set(re.findall(r"`(\w+)`", (ROOT / "changes" / "README.md").read_text())) == set(KINDS)


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")), ids=lambda page: page.name)
def test_what_a_page_beside_the_code_links_to_is_there(page):
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text("utf-8"))
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_both_packages_tell_one_version():
    assert schedhttp.__version__ == schedcore.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", schedcore.__version__)


@pytest.mark.parametrize("command", ["schedcore", "schedhttp"])
def test_the_commands_tell_the_version(command):
    told = subprocess.run(
        [sys.executable, "-m", command, "--version"], capture_output=True, text=True, check=True
    )
    assert told.stdout == f"{command} {schedcore.__version__}\n"
