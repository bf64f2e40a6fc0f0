"""The settings: one definition for keyword arguments, environment, TOML file and Flask's config.

A setting called ``api_prefix`` in Python and in a TOML file is ``SCHEDULER_API_PREFIX`` in the
environment and in Flask's config.
"""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from schedcore.errors import InvalidOptionError, did_you_mean
from schedcore.typed_options import JobDefaults
from schedhttp import setting_types as types

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PREFIX = "SCHEDULER_"
# Kubernetes and Docker set SCHEDULER_PORT, SCHEDULER_SERVICE_HOST and so on in every container
# beside a service that is called "scheduler": no settings of ours are called like these.
_ORCHESTRATION = re.compile(r"(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_(TCP|UDP)\w*)")
CONFIG = "SCHEDULER_CONFIG"


class ConfigError(InvalidOptionError):
    """Something in the configuration makes no sense; the text begins with its place.

    Args:
        place: A file, a variable, or a job in one of them.
        reason: What is wrong there, in words or as an error.
    """

    def __init__(self, place: str, reason: object) -> None:
        error = reason if isinstance(reason, InvalidOptionError) else None
        super().__init__(
            error.option if error else place,
            error.value if error else None,
            error.expected if error else str(reason),
        )
        self.args = (f"{place}: {reason}",)


def _setting(default: Any, read: Callable[[str, object], Any], doc: str) -> Any:
    return field(default_factory=lambda: default, metadata={"read": read, "doc": doc})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting, checked.

    Made by :meth:`of`, :meth:`with_file`, :meth:`with_environment` and :meth:`changed`.
    """

    origins: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Where values come from, by name: ``"environment"`` for instance; others are defaults."""

    # As documented for Flask-APScheduler
    api_enabled: bool = _setting(
        False, types.flag, "Whether the API is served; the stand-alone app serves it by default."
    )
    api_prefix: str = _setting("/scheduler", types.prefix, "What the API's paths begin with.")
    endpoint_prefix: str = _setting(
        "scheduler.", types.text, "What the names of Flask endpoints begin with."
    )
    allowed_hosts: tuple[str, ...] = _setting(
        ("*",), types.texts, "Names of the hosts that may run the scheduler; `*` means any."
    )
    host_name: str = _setting(
        "", types.text, "This host's name in that list; by default the computer's name."
    )
    jobs: tuple[Mapping[str, Any], ...] = _setting(
        (), types.tables, "Jobs to declare at the start, in the API's form."
    )
    job_defaults: JobDefaults = _setting(  # noqa: RUF009 — it is a field
        {}, types.table, "Options for jobs that do not set them."
    )
    executors: Mapping[str, Any] = _setting(
        {},
        types.hidden_table,
        'Executors by name: `{type = "threadpool", max_workers = 20}`, or `"processpool"`.',
    )
    store: Any = _setting(  # noqa: RUF009 — it is a field
        None,
        types.store,
        "Where jobs are stored: `memory`, `sqlite:///jobs.db`, `postgresql://...`, or a store; by"
        " default `schedcore.db`, in the server's working folder or a Flask app's instance folder.",
    )
    name: str = _setting(
        "",
        types.text,
        "Name of this app, if several apps declare jobs in one store; by default the path of the"
        " settings file, or the name of the Flask app.",
    )
    notices: Mapping[str, Any] = _setting(
        {},
        types.hidden_table,
        "Channels by name, for notices about jobs:"
        ' `{type = "webhook", url = "https://..."}`; see notices.md.',
    )
    remind_every: float = _setting(
        3600.0, types.seconds, "Seconds between two reminders that a job still fails."
    )
    retention: Mapping[str, int] = _setting(
        {},
        types.retention,
        "How much history and audit a store on disk keeps, where that differs from the default:"
        " `{per_job = 100, days = 7, audit_days = 365}`; see stores.md.",
    )
    timezone: str | None = _setting(
        None, types.zone, "Time zone of triggers that name none; by default the computer's."
    )
    auth: Any = _setting(  # noqa: RUF009 — it is a field
        None,
        types.anything,
        "A callable that gets the credentials and returns whether they are valid.",
    )
    capture_output: bool = _setting(
        True, types.flag, "Whether each run's printed and logged output is stored."
    )
    redact: tuple[str, ...] = _setting(
        (),
        types.patterns,
        "Regular expressions for text to hide in output, arguments, results and errors; if one has"
        " groups, only the groups are hidden.",
    )
    app_context: bool = _setting(
        False, types.flag, "Whether jobs run inside the Flask app's context."
    )
    # Who may do what
    api_allowed_funcs: tuple[str, ...] = _setting(
        (),
        types.texts,
        'Functions that a request may name: `"tasks:daily_cleanup"`, `"tasks:*"`; `"*"` means any.',
    )
    api_users: Mapping[str, str] = _setting(
        {}, types.text_table, "Users and their hashed passwords, for HTTP Basic."
    )
    api_tokens: Mapping[str, str] = _setting(
        {}, types.text_table, "Names and their tokens (or `sha256:` and a digest), for Bearer."
    )
    api_read_only: tuple[str, ...] = _setting(
        (), types.texts, "Users and names of tokens that may only read."
    )
    api_hide_args: bool = _setting(
        False,
        types.flag,
        "Whether jobs' arguments and output are hidden from these.",
    )
    api_require_credentials: bool = _setting(
        False,
        types.flag,
        "Whether every request needs credentials; if there are none, the server refuses to start.",
    )
    api_loopback_only: bool = _setting(
        True,
        types.flag,
        "Whether, without authentication, only clients on this computer are served.",
    )
    api_trusted_hosts: tuple[str, ...] = _setting(
        (), types.texts, "Accepted values of the Host header, besides loopback ones."
    )
    api_trusted_origins: tuple[str, ...] = _setting(
        (), types.origins, 'Other sites whose pages may use the API: `"https://ops.example.com"`.'
    )
    api_precise_errors: bool = _setting(
        False, types.flag, "Whether clients' mistakes get 422 and 409 instead of 500."
    )
    api_shortest_interval: float = _setting(
        1.0,
        types.seconds,
        "Shortest interval between two runs, or two attempts of one, in seconds, that a request may"
        " set.",
    )
    api_max_body: int = _setting(
        1_048_576, types.positive, "Maximum size of a request body, in bytes."
    )
    api_run_timeout: float = _setting(
        30.0, types.seconds, "Maximum time that a request waits for a run, in seconds."
    )
    # The dashboard
    dashboard: bool = _setting(
        False,
        types.flag,
        "Whether the dashboard is served; the server serves it if Jinja2 is installed.",
    )
    dashboard_prefix: str = _setting(
        "/dashboard",
        types.prefix,
        "What the paths of its pages begin with; in the stand-alone server, nothing.",
    )
    dashboard_secret: str = _setting(
        "",
        types.text,
        "Key that signs sessions; by default made from users and tokens, or Flask's `SECRET_KEY`.",
    )
    metrics_jobs: int = _setting(
        1_000,
        types.positive,
        "Number of jobs with their own metrics, the first ones by id; others are counted together.",
    )
    tracing: bool = _setting(
        False, types.flag, "Whether each run is a span of OpenTelemetry's global tracer provider."
    )
    # The server
    autostart: bool = _setting(True, types.flag, "Whether the server starts the scheduler.")
    shutdown_timeout: float = _setting(
        10.0,
        types.seconds,
        "Seconds that active runs have to finish when the scheduler shuts down.",
    )
    bind: str = _setting("127.0.0.1:5000", types.bind, "Address on which the server listens.")
    workers: int = _setting(
        1, types.positive, "Number of server processes: each answers requests, one takes due jobs."
    )
    threads: int = _setting(
        8, types.positive, "Number of threads that answer requests, per process."
    )
    python_path: tuple[str, ...] = _setting(
        (), types.texts, "Folders of the jobs' modules; in a settings file, relative to that file."
    )
    log_level: str = _setting("INFO", types.level, "Log level: DEBUG, INFO, WARNING...")
    log_format: str = _setting(
        "text", types.log_format, "Log format: `text`, or `json`, one object per line."
    )

    @classmethod
    def of(cls, **values: Any) -> Settings:
        """Return settings of keyword arguments.

        Raises:
            InvalidOptionError: naming the setting, its value and what was expected.
        """
        return cls().changed(values, "")

    def changed(self, values: Mapping[str, Any], origin: str = "code") -> Settings:
        """Return these settings with *values*, by Python's or by environment's names.

        Args:
            values: The values.
            origin: Where they come from, to be shown; empty: it counts as before.

        Raises:
            InvalidOptionError: naming the setting, its value and what was expected.
        """
        read: dict[str, Any] = {}
        for given, value in values.items():
            name = _name_of(given)
            reader = _FLASK_READERS.get(_in_python(given), FIELDS[name].metadata["read"])
            found = reader(given, value)
            if _in_python(given) == name or name not in read:  # another name counts less
                read[name] = found
        origins = {**self.origins, **(dict.fromkeys(read, origin) if origin else {})}
        return replace(self, **read, origins=origins)

    def with_file(self, path: str | Path) -> Settings:
        """Return these settings with those of a TOML file.

        Raises:
            ConfigError: if there is no such file, or something in it is wrong.
        """
        path = Path(path)
        try:
            values = tomllib.loads(path.read_text("utf-8"))
            read = self.changed(values, path.name)
        except OSError as error:
            raise ConfigError(str(path), f"expected a TOML file, but: {error.strerror}") from None
        except InvalidOptionError as error:
            raise ConfigError(str(path), error) from None
        except (ValueError, RecursionError) as error:
            raise ConfigError(str(path), f"expected TOML, but: {error}") from None
        if "python_path" in values or PREFIX + "PYTHON_PATH" in values:
            here = path.resolve().parent
            read = replace(read, python_path=tuple(str(here / p) for p in read.python_path))
        return read

    def with_environment(self, environment: Mapping[str, str]) -> Settings:
        """Return these settings with those of environment variables; others are left alone.

        Raises:
            InvalidOptionError: if one that begins with SCHEDULER_ is unknown or wrong.
        """
        ours = {
            name: value
            for name, value in environment.items()
            if name.startswith(PREFIX)
            and name != CONFIG
            and not _ORCHESTRATION.fullmatch(name[len(PREFIX) :])
        }
        return self.changed(ours, "environment")

    @property
    def current_host(self) -> str:
        """The name of this host."""
        return self.host_name or socket.gethostname()

    @property
    def graceful_timeout(self) -> int:
        """Seconds after which gunicorn kills a worker that is to end, with time for the rest.

        Active runs have :attr:`shutdown_timeout` of it.
        """
        return int(self.shutdown_timeout) + 5

    @property
    def may_run_here(self) -> bool:
        """Whether the scheduler may run on this host."""
        allowed = {name.lower() for name in self.allowed_hosts}
        return bool(allowed & {"*", self.current_host.lower()})


FIELDS = {each.name: each for each in fields(Settings) if each.metadata}
"""The settings by name, with their reader and what they mean in ``metadata``."""


def load(path: str | None, environment: Mapping[str, str]) -> Settings:
    """Return the settings of the stand-alone server: a file's, and over them the environment's.

    Args:
        path: The file; None: the one that ``SCHEDULER_CONFIG`` names, if it does.
        environment: The environment variables.

    Raises:
        InvalidOptionError: naming the setting, its value and what was expected.
    """
    path = path or environment.get(CONFIG)
    settings = Settings.of(api_enabled=True, dashboard=has_dashboard(), dashboard_prefix="")
    if path:
        settings = settings.with_file(path)
    settings = settings.with_environment(environment)
    if settings.dashboard_prefix == settings.api_prefix == "":
        return settings.changed({"dashboard_prefix": "/dashboard"}, "")
    return settings


def has_dashboard() -> bool:
    """Return whether the packages of the dashboard are installed."""
    return all(find_spec(name) is not None for name in ("jinja2", "itsdangerous"))


def variable(name: str) -> str:
    """Return what a setting is called in the environment and in Flask's config."""
    return PREFIX + name.upper()


def place_of(name: str, path: str | None, environment: Mapping[str, str]) -> str:
    """Return the place of a setting of the stand-alone server, to be named in errors.

    Args:
        name: In Python.
        path: The file, if there is one.
        environment: Stands over the file.
    """
    if path is None or variable(name) in environment:
        return variable(name)
    return f"{path}: {name}"


def _name_of(given: str) -> str:
    """Return what a setting is called in Python, and refuse unknown ones."""
    name = FLASK_APSCHEDULER_NAMES.get(_in_python(given), _in_python(given))
    if name not in FIELDS:
        hint = _NO_SETTINGS.get(name) or did_you_mean(name, FIELDS)
        if given.startswith(PREFIX):
            hint = re.sub(r"'(\w+)'\?", lambda match: f"'{variable(match[1])}'?", hint)
        raise InvalidOptionError(given, _HIDDEN, f"the name of a setting{hint}")
    return name


def _in_python(given: str) -> str:
    return given[len(PREFIX) :].lower() if given.startswith(PREFIX) else given


class _Hidden:
    """Stands for a value that may be a password, under a mistyped name for instance."""

    def __repr__(self) -> str:
        return "..."


_HIDDEN = _Hidden()
FLASK_APSCHEDULER_NAMES = {"views_enabled": "api_enabled", "jobstores": "store"}
"""Names in Flask-APScheduler: what it called ``api_enabled`` first, and its table of stores."""
_FLASK_READERS = {"jobstores": types.jobstores}
_NO_SETTINGS = {
    "host": " (bind = 'host:port' tells where to listen)",
    "port": " (bind = 'host:port' tells where to listen)",
    "election_name": " (processes share one store: store = 'sqlite:///...')",
}
"""What is no setting, and what there is in its place."""
