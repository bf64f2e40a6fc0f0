"""The files that the deployment guides print, each named by the first line of its block."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
_BLOCK = re.compile(r"^```\w+\n(?:#|--) (\S+)\n(.*?)^```$", re.M | re.S)
REQUIRED = bool(os.environ.get("SCHEDCORE_REQUIRE_SERVERS")) or os.environ.get("CI") == "true"
ADMIN, MONITORING = "test", "test2"
"""The tokens whose digests are in the guides."""


def files_of(guide: str) -> dict[str, str]:
    """Return what a guide prints, by the name of the file that it is to be in."""
    text = (ROOT / "docs" / "how-to" / f"{guide}.md").read_text("utf-8")
    return dict(_BLOCK.findall(text))


def write_files(guide: str, folder: Path) -> dict[str, str]:
    """Write the modules and settings of a guide, and return all that it prints."""
    files = files_of(guide)
    for name, text in files.items():
        if name.endswith((".py", ".toml")):
            (folder / name).write_text(text)
    return files


def need(program: str, package: str) -> None:
    """Skip the test where a program is missing; fail where it has to be there."""
    if shutil.which(program) is None:
        lacks = f"this test needs {program}, which apt-get install {package} brings"
        if REQUIRED:
            pytest.fail(lacks)
        pytest.skip(lacks)
