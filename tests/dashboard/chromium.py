"""Debian's Chromium, driven by Playwright, in front of a dashboard that is served in this process.

Where there is none, the tests that need it are skipped, or fail where that is asked for.
"""

from __future__ import annotations

import importlib.util
import logging
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.patience import SOON
from tests.stores.postgres import REQUIRED

_PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")
_OPTIONS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]

_HASTE = """
const later = window.setTimeout;
window.setTimeout = (what, pause) => later(what, pause / 4);
"""
"""Has pages look for what is new four times as often as they do: tests wait for that."""


def need_chromium() -> None:
    """Skip the test where there is no Chromium; fail where there has to be one."""
    lacks = ""
    if importlib.util.find_spec("playwright") is None:
        lacks = "playwright, which pip install playwright brings"
    elif _PROGRAM is None:
        lacks = "Chromium, which apt-get install chromium brings"
    if lacks and REQUIRED:
        pytest.fail(f"this test needs {lacks}")
    if lacks:
        pytest.skip(f"this test needs {lacks}")


@contextmanager
def chromium() -> Iterator[Any]:
    """Run a Chromium meanwhile."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_PROGRAM, args=_OPTIONS)
        try:
            yield browser
        finally:
            browser.close()


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:
        logging.getLogger(__name__).debug(message, *args)


@contextmanager
def served(app: Any, port: int = 0) -> Iterator[str]:
    """Serve *app* on this computer meanwhile, at the address that is given."""
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=_Quiet)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Tab:
    """A tab of a browser, and what went wrong in it.

    Args:
        context: The browser's profile.
        base: Where the dashboard is.
    """

    def __init__(self, context: Any, base: str) -> None:
        self.base = base
        self.page = context.new_page()
        self.page.set_default_timeout(SOON * 1000)
        self.page.add_init_script(_HASTE)
        self.wrong: list[str] = []
        self.asked: list[tuple[str, int]] = []
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("response", lambda r: self.asked.append((r.url, r.status)))

    def _note(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(message.text)

    def goto(self, path: str) -> Any:
        self.page.goto(self.base + path)
        return self.page

    def sees(self, text: str) -> None:
        """Wait until the page shows a text."""
        self.page.get_by_text(text).first.wait_for()

    def check_access(self, *rules: str) -> None:
        """Expect that axe finds nothing on the page: by these rules, or by all."""
        from axe_playwright_python.sync_playwright import Axe

        only = {"runOnly": {"type": "rule", "values": rules}} if rules else {}
        found = Axe().run(self.page, options={"resultTypes": ["violations"], **only})
        assert found.violations_count == 0, found.generate_report()
