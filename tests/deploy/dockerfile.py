"""Reads a Dockerfile, as far as the tests need it."""

from __future__ import annotations

import re
from collections import defaultdict

from tests.deploy.guides import ROOT

Stage = dict[str, list[str]]


def stages(text: str) -> list[Stage]:
    """Return the stages of a Dockerfile: of each, what follows an instruction's name."""
    found: list[Stage] = []
    lines = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.M))
    for line in filter(str.strip, lines.splitlines()):
        name, _, rest = line.partition(" ")
        if name == "FROM":
            found.append(defaultdict(list))
        found[-1][name].append(" ".join(rest.split()))
    return found


def build_stage() -> Stage:
    """Return the stage that builds the image of the project."""
    return stages((ROOT / "Dockerfile").read_text())[0]


def final_stage() -> Stage:
    """Return the stage that is that image."""
    return stages((ROOT / "Dockerfile").read_text())[-1]
