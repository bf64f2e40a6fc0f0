"""What docs/migration/commands.md shows of ``import-apscheduler`` is what it prints."""

from __future__ import annotations

import re
from pathlib import Path

from freezegun import freeze_time

from tests.cli.conftest import stored_rows

PAGE = Path(__file__).parents[2] / "docs" / "migration" / "commands.md"
SHOWN = {"beat", "cron-steps", "moved", "paused", "foreign-class"}


@freeze_time("2029-12-31")
def test_the_page_shows_what_is_printed(run, aps_store):
    aps_store([row for row in stored_rows() if row[0] in SHOWN])
    block = re.search(
        r"^\$ python -m schedcore (import-apscheduler .*?)\n(.*?)^```$",
        PAGE.read_text("utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    assert block is not None
    assert run(*block[1].split()).out == block[2]
