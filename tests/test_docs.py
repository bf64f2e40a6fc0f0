"""Every block of Python, and every line for a terminal, of README and docs: run as printed.

How a block is run is seen from it, or said in a comment before it:

- Python or TOML whose first line names a file (``# mytasks.py``) is that file for all blocks of its
  page, and README's are for all pages; a ``test_*.py`` is run by pytest.  Other Python is a script.
- ``<!-- test: continues -->``: the script begins with the one before it.
- ``<!-- test: serves -->``: each line is a server, which has to answer, and to end well.
- ``<!-- test: beside COMMAND -->``: the lines are typed while that server runs.
- ``<!-- test: until TEXT -->``: the last line is typed, and Ctrl-C once it has printed that.
- ``<!-- test: skip because ... -->``: it cannot be run.

``<!-- test: in order -->`` before the first block of a page says that it is followed from top to
bottom: its blocks are one test, in one folder, where each file is written when its turn has come.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import pytest

from tests.patience import SOON

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(?:^<!-- test: (?P<how>[^\n]*?) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)
IN_ORDER = "<!-- test: in order -->"
FILE = re.compile(r"# (\S+\.(?:py|toml))\n")
# Ends a script's run_forever() as Ctrl-C does, as soon as that waits for a signal.
DRIVER = """
import os, runpy, signal, sys, threading

signal.signal(signal.SIGINT, signal.default_int_handler)

def end():
    while True:
        handler = signal.getsignal(signal.SIGINT)
        module = getattr(getattr(handler, "func", handler), "__module__", "")
        passing = module in ("schedcore.jobs", "asyncio.runners")  # starts a program; starts a loop
        if handler is not signal.default_int_handler and not passing:
            break
        threading.Event().wait(0.01)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=end, daemon=True).start()
runpy.run_path(sys.argv[1], run_name="__main__")
"""


class Block(NamedTuple):
    """One block of a page."""

    page: Path
    line: int
    how: str
    kind: str
    text: str

    @property
    def file(self) -> str | None:
        """The file that it is, if its first line names one."""
        match = FILE.match(self.text)
        return match[1] if match else None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    return [
        Block(page, text.count("\n", 0, m.start("kind")) + 1, m["how"] or "", m["kind"], m["text"])
        for m in BLOCK.finditer(text)
    ]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


PAGES_IN_ORDER = [page for page in PAGES if IN_ORDER in page.read_text("utf-8")]


def of_kind(kind: str) -> pytest.MarkDecorator:
    blocks = [b for b in BLOCKS if b.kind == kind and b.page not in PAGES_IN_ORDER]
    return pytest.mark.parametrize("block", blocks, ids=str)


class Terminal:
    """A folder with the files of a page, and an environment in which its lines are typed."""

    def __init__(self, folder: Path, page: Path, temporary: str) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        for block in [*blocks_of(PAGES[0]), *blocks_of(page)]:
            if block.file is not None and page not in PAGES_IN_ORDER:
                (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
                (folder / block.file).write_text(block.text)
        tools = folder / "bin"
        tools.mkdir()
        for name in ("python", "gunicorn", "flask", "pytest", "schedcore"):
            module = "" if name == "python" else f"-m {name}"
            (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n')
            (tools / name).chmod(0o755)
        (folder / ".curlrc").write_text("silent\n")
        # Nor what make was given for the tests: the `make serve` of a page would take it as well.
        others = ("SCHEDULER_", "MAKE", "MFLAGS", "ARGS")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(others)}
        self.environment = inherited | {
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "TZ": "Etc/UTC",
            "TMPDIR": temporary,
            "EXAMPLES_VAR": str(folder / "var"),
            # Two test runs on one machine do not share the docs' port.
            "SCHEDULER_BIND": f"127.0.0.1:{self.port}",
            "SCHEDCORE_URL": f"http://127.0.0.1:{self.port}/scheduler",
            "GUNICORN_CMD_ARGS": f"--bind 127.0.0.1:{self.port}",
            "FLASK_RUN_PORT": str(self.port),
            "PYTHONUNBUFFERED": "1",
        }

    def type(self, command: str) -> tuple[int, str]:
        """Return the status of a command, and what it printed: of both, what there is first."""
        done = subprocess.run(
            ["sh", "-c", command.replace(":5000", f":{self.port}")],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SOON,
            check=False,
        )
        return done.returncode, done.stdout or done.stderr

    def type_until(self, command: str, text: str) -> str:
        """Type a command, and Ctrl-C once it has printed *text*; return the lines up to that."""
        process = subprocess.Popen(
            ["sh", "-c", f"exec {command}"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        impatience = threading.Timer(SOON, process.kill)
        impatience.start()
        printed: list[str] = []
        with process:
            for line in process.stdout or ():
                printed.append(line)
                if text in line:
                    break
            process.send_signal(signal.SIGINT)
            process.communicate()
        impatience.cancel()
        assert process.returncode == 0, "".join(printed)
        return "".join(printed)

    @contextmanager
    def beside(self, command: str) -> Iterator[None]:
        """Run a server until it answers, and then to its end, by TERM."""
        where = self.folder
        if command.startswith("make "):
            # The Makefile's rules, but with the interpreter that is here.
            where = ROOT
            stamps = [f"-o {sys.prefix}/.{stamp}" for stamp in ("server", "dev")]
            command = command.replace("make", f"make VENV={sys.prefix} {' '.join(stamps)}", 1)
            command = f"SCHEDULER_STORE=sqlite:///{self.folder}/schedcore.db {command}"
        log = self.folder / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["sh", "-c", f"exec env {command}"],  # no shell that ends before its server
                cwd=where,
                env=self.environment,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        try:
            self._wait_for_an_answer(process, log)
            yield
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=SOON)
        logged = log.read_text()
        assert logged.count("Traceback") == len(re.findall(r"job .* raised; ", logged)), logged

    def _wait_for_an_answer(self, process: subprocess.Popen[bytes], log: Path) -> None:
        deadline = time.monotonic() + SOON
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            try:
                with urlopen(f"http://127.0.0.1:{self.port}/scheduler", timeout=SOON) as answer:
                    assert json.load(answer)["running"] is True
                    return
            except OSError:
                threading.Event().wait(0.05)


@pytest.fixture
def terminal(request, tmp_path):
    temporary = tempfile.mkdtemp(prefix="d-")  # short: the path of a socket has 108 bytes at most
    given = request.node.callspec.params
    yield Terminal(tmp_path, given["page"] if "page" in given else given["block"].page, temporary)
    shutil.rmtree(temporary)


def skip_if_told(block: Block) -> None:
    if block.how.startswith("skip"):
        assert re.match(r"skip because \w", block.how), f"{block}: say why it is skipped"
        pytest.skip(block.how)


@of_kind("python")
def test_python_runs_as_printed(terminal, block):
    skip_if_told(block)
    page = [each for each in blocks_of(block.page) if each.kind == "python"]
    at = page.index(block)
    if block.file is not None:
        script = terminal.folder / block.file
    else:
        parts = [block.text]
        while page[at].how == "continues":
            at -= 1
            parts.insert(0, page[at].text)
        script = terminal.folder / "script.py"
        script.write_text("\n".join(parts))
    driver = terminal.folder / "driver.py"
    driver.write_text(DRIVER)
    quoted = f"'{script.name}'"
    pytest_it = script.name.startswith("test_")
    command = (
        f"pytest -q -p no:cacheprovider {quoted}" if pytest_it else f"python driver.py {quoted}"
    )
    status, printed = terminal.type(command)
    assert status == 0, printed


@of_kind("console")
def test_lines_for_a_terminal_print_what_is_printed_below_them(terminal, block):
    skip_if_told(block)
    type_block(terminal, block)


@pytest.mark.parametrize("page", PAGES_IN_ORDER, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_that_is_followed_in_order_does_what_it_says(terminal, page):
    for block in blocks_of(page):
        if block.how.startswith("skip"):
            continue
        if block.kind == "console":
            type_block(terminal, block)
        else:
            assert block.file is not None, f"{block}: in which file is it?"
            (terminal.folder / block.file).write_text(block.text)


def type_block(terminal: Terminal, block: Block) -> None:
    """Type the lines of a block, as it says."""
    lines = list(typed(block))
    assert lines, f"{block}: no line begins with '$ '"
    if block.how == "serves":
        for command, _ in lines:
            with terminal.beside(command):
                pass
        return
    if any("curl " in command for command, _ in lines) and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    if block.how.startswith("beside "):
        with terminal.beside(block.how.removeprefix("beside ")):
            type_all(terminal, lines)
    elif block.how.startswith("until "):
        command, expected = lines.pop()
        type_all(terminal, lines)
        printed = terminal.type_until(command, block.how.removeprefix("until "))
        compare(command, printed, expected)
    else:
        type_all(terminal, lines)


def typed(block: Block) -> Iterator[tuple[str, str]]:
    """Return each command of a block, and what is printed below it."""
    for part in re.split(r"^\$ ", block.text, flags=re.M)[1:]:
        command, _, printed = re.sub(r"\\\n", "\0", part).partition("\n")
        yield command.replace("\0", "\\\n"), printed


def type_all(terminal: Terminal, lines: list[tuple[str, str]]) -> None:
    for command, expected in lines:
        status, printed = terminal.type(command)
        if expected.strip():
            compare(command, printed, expected)
        else:
            assert status == 0, f"$ {command}\n{printed}"


def compare(command: str, printed: str, expected: str) -> None:
    assert re.fullmatch(pattern_of(expected), plain(printed), re.S), (
        f"$ {command}\n{printed}\nand in the docs:\n{expected}"
    )


def plain(text: str) -> str:
    """Return *text* without what is different each time: moments, hosts, processes, durations."""
    text = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?\+00:00", "MOMENT", text.strip())
    text = re.sub(r'("(?:current_)?host":)"[^"]*"', r"\1HOST", text)
    text = re.sub(r'("(?:pid|run_id|lateness)":)("[^"]*"|[\d.e-]+)', r"\1NUMBER", text)
    text = re.sub(r"\d+\.\d+ ?m?s\b", "DURATION", text)
    text = re.sub(r"([\d-]{10} )?\d\d:\d\d:\d\d \((now|in [^)]*|[^)]* ago)\)", "WHEN", text)
    return re.sub(r" {2,}", "  ", text)  # columns are as wide as what differs each time


def pattern_of(expected: str) -> str:
    """Return a pattern of what is printed; ``...`` stands for anything, as a line for any lines."""
    lines = re.sub(r"\\\n\\\.\\\.\\\.(?=\\\n|$)", r"(\n.*)?", re.escape(plain(expected)))
    return re.sub(r"(\\ )?\\\.\\\.\\\.(\\ )?", ".*", lines)


@of_kind("toml")
def test_toml_is_toml(block):
    tomllib.loads(block.text)


@of_kind("json")
def test_json_is_json(block):
    json.loads(block.text)


def test_what_is_to_be_run_is_marked_as_such():
    """A block without a language is not run: what begins with a prompt is for a terminal."""
    assert len([block for block in BLOCKS if block.kind in ("python", "console")]) > 15
    unmarked = [str(block) for block in BLOCKS if not block.kind and "$ " in block.text]
    assert unmarked == []


def test_a_comment_that_tells_how_is_understood():
    words = {"skip", "continues", "serves", "beside", "until"}
    told = [block for block in BLOCKS if block.how]
    assert {block.how.split()[0] for block in told} <= words
    comments = sum(page.read_text("utf-8").count("<!-- test:") for page in PAGES)
    assert comments == len(told) + len(PAGES_IN_ORDER), (
        "one stands before something else than a block"
    )
