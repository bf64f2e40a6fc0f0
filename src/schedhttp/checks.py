"""Checks before gunicorn starts, so that a mistake is reported in one line."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from tempfile import TemporaryDirectory
from typing import NoReturn

from schedcore import SchedError
from schedcore.errors import text_of
from schedhttp import build
from schedhttp.settings import ConfigError, Settings, place_of
from schedhttp.workers.host import Hosted

_MOST = 8_000
"""Maximum length of an error about a configuration: a pipe takes so many characters at once."""


class AddressError(SchedError):
    """The server cannot listen at its address."""


def check_workers(settings: Settings, workers: int, config: str | None) -> None:
    """Refuse several processes on a store in memory.

    Raises:
        ConfigError: naming a solution.
    """
    if workers > 1 and _in_memory(settings):
        place = place_of("store", config, os.environ)
        raise ConfigError(place, build.ONE_PROCESS.format(workers))


def check_app(settings: Settings, config: str | None) -> None:
    """Create the app and its scheduler once in a separate process, and discard them.

    This process imports no modules of jobs: gunicorn's workers are forked from it, and must import
    the current code after a reload.  Nothing is written to the store.

    Args:
        settings: All of them.
        config: The path of the file that the settings come from, if there is one.

    Raises:
        ConfigError: naming the mistake and its place.
    """

    def try_out() -> None:
        with TemporaryDirectory() as folder:
            # Executors and definitions may need a store on disk, if one is configured.
            store = "memory" if _in_memory(settings) else f"sqlite:///{folder}/trial.db"
            Hosted(settings.changed({"store": store}), config)

    _try_in_child(try_out, config)


def _in_memory(settings: Settings) -> bool:
    return str(settings.store).partition(":")[0] == "memory"


def check_store(settings: Settings, config: str | None) -> None:
    """Open the store once in a separate process, and create its file if necessary.

    Raises:
        ConfigError: if it cannot be used.
    """
    place = place_of("store", config, os.environ)
    _try_in_child(lambda: build.open_store(settings, place), config)


class _Reported(ConfigError):
    """A mistake that a child process found; its text names the place."""

    def __init__(self, text: str) -> None:
        super().__init__("settings", text)
        self.args = (text,)


def _try_in_child(what: Callable[[], object], config: str | None) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _in_child(what, config, writing)
    os.close(writing)
    try:
        _, status = os.waitpid(child, 0)
        message = os.read(reading, _MOST * 4).decode() if os.WIFEXITED(status) else ""
    finally:
        os.close(reading)
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        raise ConfigError(config or "settings", f"importing the jobs' modules ended by {name}")
    if status != 0:
        raise _Reported(message)


def _in_child(what: Callable[[], object], config: str | None, writing: int) -> NoReturn:
    status, text = 1, ""
    try:
        # Modules that print when they are imported do so in the worker as well.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        what()
        status = 0
    except SchedError as error:
        text = str(error)
    except BaseException as error:  # noqa: BLE001 — a job's module may raise anything
        place = config or "settings"
        text = (
            f"{place}: importing the jobs' modules raised {type(error).__name__}: {text_of(error)}"
        )
    finally:
        with suppress(OSError):
            os.write(writing, text[:_MOST].encode(errors="backslashreplace") or b" ")
        os._exit(status)


def check_address(bind: str) -> None:
    """Check that the server can listen at *bind*, as far as that is known beforehand.

    Raises:
        AddressError: if not, naming a solution.
    """
    if "GUNICORN_FD" in os.environ or "LISTEN_FDS" in os.environ:
        return  # gunicorn was given its sockets, by an older gunicorn or by systemd
    try:
        if bind.startswith("unix:"):
            _try_path(bind[len("unix:") :])
        else:
            host, _, port = bind.rpartition(":")
            _try_port(host.strip("[]"), int(port))
    except OSError as error:
        raise AddressError(f"bind={bind!r}: {_explained(error, bind)}") from None


def _try_port(host: str, port: int) -> None:
    (family, kind, protocol, _, address), *_ = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    with closing(socket.socket(family, kind, protocol)) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as gunicorn does
        trial.bind(address)


def _try_path(path: str) -> None:
    """Raise EADDRINUSE if a server answers there: gunicorn would replace its socket."""
    if not os.path.isdir(os.path.dirname(path)):
        raise FileNotFoundError(errno.ENOENT, "there is no such folder")
    with closing(socket.socket(socket.AF_UNIX)) as client:
        client.settimeout(1.0)
        with suppress(ConnectionRefusedError, FileNotFoundError):
            client.connect(path)
            raise OSError(errno.EADDRINUSE, "in use")


def _explained(error: OSError, bind: str) -> str:
    if isinstance(error, socket.gaierror):
        return f"the name of the host is not known ({error.strerror}); --host names another"
    if error.errno == errno.EADDRINUSE:
        if bind.startswith("unix:"):
            return "it is in use: another server answers there; end it, or set another bind"
        port = int(bind.rpartition(":")[2])
        mac = (
            " (on macOS perhaps AirPlay, which takes 5000)"
            if sys.platform == "darwin" or port == 5000
            else ""
        )
        return (
            f"the port is in use by another program{mac}; --port {port % 65_535 + 1} takes another"
        )
    if error.errno == errno.EACCES:
        return "this user may not listen there; --port takes another, of 1024 or more"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this computer has no such address; --host 127.0.0.1 is one, 0.0.0.0 all of them"
    return f"{error.strerror or error}; --host and --port take another"
