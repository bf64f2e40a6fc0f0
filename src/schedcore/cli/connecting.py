"""The server and the credentials of a command, from options, the environment or a file."""

from __future__ import annotations

import argparse
import base64
import getpass
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from schedcore.cli.base import Commands
from schedcore.cli.client import Api, Place, Unreachable
from schedcore.errors import InvalidOptionError, SchedError

DEFAULT_URL: Final = "http://127.0.0.1:5000/scheduler"
URL, TOKEN, USER = "SCHEDCORE_URL", "SCHEDCORE_TOKEN", "SCHEDCORE_USER"
"""Names of environment variables."""
_NAMES: Final = ("url", "token", "user")


class _Given(NamedTuple):
    """The values from one source; empty if not given."""

    url: str = ""
    token: str = ""
    user: str = ""


def add_command(
    commands: Commands,
    name: str,
    run: Callable[[Api, argparse.Namespace], int],
    description: str,
    example: str,
) -> argparse.ArgumentParser:
    """Add a command that uses a running server.

    Args:
        commands: The parsers to which it is added.
        name: The name of the command.
        run: Called with a client of the server, and the parsed options.
        description: Its description, a sentence without a full stop.
        example: An example of its use, without ``schedcore``.
    """
    command = commands.add_parser(
        name,
        allow_abbrev=False,
        help=description,
        description=f"{description[0].upper()}{description[1:]}.",
        epilog=f"example: schedcore {example}",
    )
    command.set_defaults(run=_run, ask=run)
    command.add_argument("--json", action="store_true", help="print one JSON document")
    server = command.add_argument_group("server")
    server.add_argument("--url", metavar="URL", help=f"of its API (default: {DEFAULT_URL})")
    server.add_argument("--token", metavar="TOKEN", help="better: SCHEDCORE_TOKEN, or the file")
    server.add_argument(
        "--user", metavar="NAME[:PASSWORD]", help="without the password, you are asked for it"
    )
    return command


def _run(parsed: argparse.Namespace) -> int:
    with closing(connected(parsed)) as api:
        try:
            return int(parsed.ask(api, parsed))
        except SchedError:
            raise
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            raise Unreachable(
                f"{api.place.url} does not answer as this schedcore expects; is it a schedcore"
                f" server of the same version? ({type(error).__name__}: {error})"
            ) from error


def connected(parsed: argparse.Namespace) -> Api:
    """Return a client of the command's server.

    Raises:
        InvalidOptionError: if an option is invalid.
    """
    options = _Given(*(getattr(parsed, name) or "" for name in _NAMES))
    environment = _Given(*(os.environ.get(name, "") for name in (URL, TOKEN, USER)))
    path = config_path()
    file = _read_file(path)
    url, origin = DEFAULT_URL, "url"
    for given, name in ((options, "--url"), (environment, URL), (file, str(path))):
        if given.url:
            url, origin = given.url, name
            break
    place = Place.of(url, origin)
    # Credentials in the file must not be sent to another server than the file's.
    for given in (options, environment, file if url == (file.url or DEFAULT_URL) else _Given()):
        if given.token:
            return Api(place, _bearer(given.token))
        if given.user:
            return Api(place, _basic(given.user))
    return Api(place)


def config_path() -> Path:
    """Return the path of the file, whether or not it exists."""
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "schedcore" / "cli.toml"


def _read_file(path: Path) -> _Given:
    if not path.exists():
        return _Given()
    given = read_toml(path)
    for name, value in given.items():
        if name not in _NAMES:
            raise InvalidOptionError(name, "...", f"one of {', '.join(_NAMES)} in {path}")
        if not isinstance(value, str):
            raise InvalidOptionError(name, "...", f"text in quotes in {path}")
    found = _Given(**{name: str(value) for name, value in given.items()})
    if (found.token or found.user) and os.name == "posix" and path.stat().st_mode & 0o077:
        print(f"schedcore: others may read {path}: chmod 600 {path}", file=sys.stderr)
    return found


def read_toml(path: Path) -> Mapping[str, object]:
    """Parse a TOML file.

    Raises:
        InvalidOptionError: if it is not valid TOML.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        with path.open("rb") as file:
            found: Mapping[str, object] = tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidOptionError("file", str(path), f"TOML: {error}") from None
    return found


def _bearer(token: str) -> str:
    if not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidOptionError("token", "...", "letters, digits and the like, without spaces")
    return f"Bearer {token}"


def _basic(user: str) -> str:
    if ":" not in user:
        if not sys.stdin.isatty():
            raise InvalidOptionError("user", user, "NAME:PASSWORD")
        user += ":" + getpass.getpass(f"Password of {user}: ")
    return f"Basic {base64.b64encode(user.encode()).decode()}"
