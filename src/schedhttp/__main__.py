"""The server's command: ``python -m schedhttp --config schedcore.toml``."""

from __future__ import annotations

import argparse
import getpass
import hashlib
import os
import secrets
import sys
from collections.abc import Sequence

from schedcore import InvalidOptionError, __version__
from schedhttp import settings
from schedhttp.settings import Settings

_NO_GUNICORN = "gunicorn is not installed (pip install gunicorn)"
_NOT_HERE = "gunicorn does not run on Windows, or on other systems without {}"
_OF_POSIX = ("fcntl", "grp", "pwd", "resource")
_ANOTHER_SERVER = (
    "any other WSGI server can serve schedhttp.wsgi:app, in one process:"
    " pip install waitress; waitress-serve --listen=127.0.0.1:5000 schedhttp.wsgi:app"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve, and return the exit status."""
    given = _parser().parse_args(arguments)
    try:
        if given.hash_password:
            return _hash_password()
        if given.make_token:
            return _make_token()
        return _serve(given, given.config or os.environ.get(settings.CONFIG))
    except InvalidOptionError as error:
        print(f"schedhttp: {error}", file=sys.stderr)
        return 2


def _serve(given: argparse.Namespace, config: str | None) -> int:
    chosen = _settings(given)
    try:
        from schedhttp.server import serve
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing != "gunicorn" and missing not in _OF_POSIX:
            raise
        why = _NO_GUNICORN if missing == "gunicorn" else _NOT_HERE.format(missing)
        print(f"schedhttp: {why}; {_ANOTHER_SERVER}", file=sys.stderr)
        return 1
    # After gunicorn, which tells best whether this system has what these need as well.
    from schedhttp import build, checks

    def checked() -> Settings:
        """Read the settings, and try what they say: at the start, and at each reload."""
        chosen = _settings(given)
        checks.check_workers(chosen, chosen.workers, config)
        checks.check_app(chosen, config)
        # Last: what another server uses is not to be touched by one that cannot start.
        checks.check_store(chosen, config)
        build.set_up_logging(chosen)  # a reload that is refused leaves the log as it is
        return chosen

    try:
        checks.check_address(chosen.bind)
    except checks.AddressError as error:
        print(f"schedhttp: {error}", file=sys.stderr)
        return 1
    serve(checked, config)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="schedhttp",
        description="Run a scheduler and serve its REST API under gunicorn.",
        epilog="Every setting can also be given as an environment variable, SCHEDULER_....",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument("--config", metavar="FILE", help="a TOML file with settings")
    parser.add_argument("--host", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (5000)")
    parser.add_argument("--workers", type=int, help="number of processes that answer requests (1)")
    parser.add_argument("--threads", type=int, help="number of threads per process (8)")
    parser.add_argument(
        "--hash-password", action="store_true", help="read a password, print its hash, and exit"
    )
    parser.add_argument(
        "--make-token",
        action="store_true",
        help="print a new token and its line for the settings, and exit",
    )
    return parser


def _settings(given: argparse.Namespace) -> Settings:
    chosen = settings.load(given.config, os.environ)
    if given.host is not None or given.port is not None:
        bind = "127.0.0.1:5000" if chosen.bind.startswith("unix:") else chosen.bind
        host, _, port = bind.rpartition(":")
        host = host if given.host is None else given.host
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"
        bind = f"{host}:{port if given.port is None else given.port}"
        chosen = chosen.changed({"bind": bind}, "command line")
    for name in ("workers", "threads"):
        if getattr(given, name) is not None:
            chosen = chosen.changed({name: getattr(given, name)}, "command line")
    return chosen


def _hash_password() -> int:
    from werkzeug.security import generate_password_hash

    asked = sys.stdin.isatty()
    password = getpass.getpass() if asked else sys.stdin.readline().rstrip("\n")
    if not password:
        raise InvalidOptionError("password", password, "one character or more")
    print(generate_password_hash(password))
    return 0


def _make_token() -> int:
    token = secrets.token_urlsafe(32)
    digest = hashlib.sha256(token.encode()).hexdigest()
    print(f"for the client:    Authorization: Bearer {token}")
    print(f'for the settings:  api_tokens = {{ NAME = "sha256:{digest}" }}')
    return 0


if __name__ == "__main__":
    sys.exit(main())
