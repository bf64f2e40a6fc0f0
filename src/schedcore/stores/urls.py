"""Opens stores by their URLs."""

from __future__ import annotations

from schedcore.basics.shown_urls import without_password
from schedcore.clock import Clock, SystemClock
from schedcore.errors import InvalidOptionError, StoreError
from schedcore.stores.contract import Store

KINDS = (
    "memory, sqlite:///relative/path.db, sqlite:////absolute/path.db,"
    " or postgresql://user:password@host/database"
)


def open_store(url: str, clock: Clock | None = None) -> Store:
    """Return the store under a URL; one on disk is opened at the first call.

    Args:
        url: ``"memory"``, ``"sqlite:///jobs.db"`` (in the working folder),
            ``"sqlite:////var/lib/app/jobs.db"``, or ``"postgresql://user:password@host/database"``.
        clock: The scheduler's clock; default: the computer's.

    Raises:
        InvalidOptionError: if it does not name a store.
    """
    clock = clock or SystemClock()
    if not isinstance(url, str):
        raise InvalidOptionError("store", url, f"a store, or a URL: {KINDS}")
    scheme = url.partition(":")[0].lower()
    if url in ("memory", "memory:", "memory://"):
        from schedcore.stores.memory import MemoryStore

        return MemoryStore(clock=clock)
    if scheme == "sqlite":
        from schedcore.stores.sqlite import SqliteStore

        return SqliteStore(sqlite_path(url), clock=clock)
    if scheme in ("postgresql", "postgres"):
        return _postgres_store(url, clock)
    raise InvalidOptionError("store", without_password(url), KINDS)


def _postgres_store(url: str, clock: Clock) -> Store:
    try:
        import psycopg_pool  # noqa: F401 — psycopg alone is not enough

        from schedcore.stores.postgres import PostgresStore
    except ImportError as error:
        raise StoreError(
            without_password(url),
            f'PostgreSQL needs two packages: pip install "psycopg[binary,pool]" ({error})',
        ) from error
    return PostgresStore(url, clock=clock)


def sqlite_path(url: str) -> str:
    """Return the path in a URL of SQLite, in SQLAlchemy's format.

    Raises:
        InvalidOptionError: if there is none.
    """
    path = url.partition(":")[2]
    if not path.startswith("///") or path in ("///", "///:memory:"):
        raise InvalidOptionError(
            "store",
            without_password(url),
            "sqlite:/// and the path of a file; 'memory' keeps nothing on disk",
        )
    if "?" in path:
        raise InvalidOptionError(
            "store", without_password(url), "no options after a path of SQLite"
        )
    return path[3:]
