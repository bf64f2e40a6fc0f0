"""What a type checker says of users' calls is what the calls do."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.typing import calls

ROOT = Path(__file__).parents[2]
CALLS = Path(calls.__file__)


def test_mypy_refuses_the_wrong_calls_and_no_other():
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", str(CALLS)],
        cwd=ROOT,
        check=False,  # it ends with 1, as it is to find errors
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert not checked.stderr
    refused = {int(line) for line in re.findall(r"calls\.py:(\d+): error:", checked.stdout)}
    lines = CALLS.read_text().splitlines()
    marked = {number for number, line in enumerate(lines, 1) if line.endswith("# E:")}
    assert len(marked) > 60
    assert refused == marked, checked.stdout


@pytest.mark.parametrize("right", [calls.right, calls.right_in_flask])
def test_the_right_calls_run(right):
    right()
