"""The picture in the README: made here, with SCHEDCORE_PICTURE=1, and looked at by people."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from schedhttp import create_app
from tests.dashboard.chromium import Tab, chromium, need_chromium, served

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "dashboard.png"


def test_the_picture_in_the_readme_shows_what_there_is(scheduler, clock, tmp_path):
    """It has a job that fails, one under way, and others to come."""
    need_chromium()
    goes_on = threading.Event()

    def sync():
        raise ConnectionError("no answer from warehouse:5432")

    def report():
        clock.advance(2.4)

    add = scheduler.add_job
    add(report, "interval", minutes=5, id="report", name="Report for the board", tags=["billing"])
    add(sync, "interval", minutes=10, id="sync", name="Sync with the warehouse")
    add(goes_on.wait, "interval", minutes=30, id="import", name="Import of orders", args=[60])
    add(print, "cron", hour=13, minute=30, id="backup", name="Backup")
    for job_id in ("report", "report", "report", "sync", "sync"):
        scheduler.run_job(job_id)
    scheduler.run_job("import", wait=False)
    app = create_app(scheduler, dashboard=True, dashboard_prefix="")
    made = PICTURE if os.environ.get("SCHEDCORE_PICTURE") else tmp_path / "made.png"
    with served(app) as base, chromium() as program:
        context = program.new_context(viewport={"width": 960, "height": 600})
        tab = Tab(context, base)
        tab.goto("/")
        tab.sees("no answer from warehouse:5432")
        tab.sees("failed, 2 in a row")
        tab.sees("Cancel")
        tab.sees("Backup")
        tab.page.screenshot(path=made, full_page=True)
        context.close()
    goes_on.set()
    assert made.read_bytes()[:4] == PICTURE.read_bytes()[:4] == b"\x89PNG"
    assert "docs/dashboard.png" in (ROOT / "README.md").read_text("utf-8")
