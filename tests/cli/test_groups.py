"""The commands, as they are listed and found."""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib import import_module

import pytest

from schedcore import cli


@pytest.mark.parametrize("group", cli.GROUPS)
def test_a_command_is_found_in_the_file_that_adds_it(group):
    commands = argparse.ArgumentParser().add_subparsers()
    import_module(f"schedcore.cli.{group}").add_commands(commands)
    assert tuple(commands.choices) == cli.GROUPS[group]


def test_all_commands_are_listed(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.run(["--help"], "1")
    assert caught.value.code == 0
    listed = capsys.readouterr().out
    for names in cli.GROUPS.values():
        assert all(f"\n    {name} " in listed or f"\n    {name}\n" in listed for name in names)


@pytest.mark.parametrize("word", [[], ["nonsense"]])
def test_what_is_no_command_is_refused(word, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.run(word, "1")
    assert caught.value.code == 2
    assert "usage: schedcore" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "seldom"),
    [
        (["next", "* * * * *", "-n", "1"], {"http.client", "ssl", "sqlite3", "tomllib", "rich"}),
        (["jobs", "--url", "http://127.0.0.1:1"], {"sqlite3", "schedcore.triggers.lint", "rich"}),
    ],
)
def test_a_command_imports_little_more_than_it_uses(words, seldom):
    program = (
        f"import sys; from schedcore.__main__ import main; main({words});"
        f" print(*{seldom} & set(sys.modules), file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert ran.stderr.splitlines()[-1] == ""
