"""The thread that renews a node's lease on PostgreSQL, and receives notifications of changes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from schedcore.basics.logs import GuardedLogger
from schedcore.clock import SECOND, Clock, lasting_us
from schedcore.stores.claims import ORPHANED, WAITS
from schedcore.stores.database import Row
from schedcore.stores.postgres_sockets import readable
from schedcore.stores.sql_due import NOT_HELD

if TYPE_CHECKING:
    import psycopg

    from schedcore.stores.postgres_pool import PostgresPool

log = GuardedLogger(__name__)

POLL_US: Final = SECOND
"""How often it polls without notifications."""
NOTIFIED_POLL_US: Final = 3 * SECOND // 2
"""How often it polls with notifications."""
RENEWALS: Final = 5
"""How often a lease is renewed before it expires."""
ECHO_US: Final = 10 * SECOND
"""How often it checks that notifications arrive."""
ECHO_TIMEOUT_US: Final = 5 * SECOND
"""Maximum time for the echo of such a check."""
RETRY_S: Final = 0.5
CLOCK: Final = "(extract(epoch from clock_timestamp()) * 1000000)::bigint"
_SEEN: Final = (
    f"(select state from schedcore_cluster), {CLOCK},"
    " (select min(d.due_us) from unnest(%s::text[]) e (name) cross join lateral (select due_us"
    " from schedcore_due d where d.executor = e.name and d.due_us is not null"
    f" and {NOT_HELD} order by d.due_us limit 1) d),"
    f" (select min(act_us) from schedcore_claims where act_us is not null and {ORPHANED}),"
    f" exists (select 1 from schedcore_claims where state = {WAITS}),"
    f" (select json_agg(json_build_array(id, boot, lease_us < {CLOCK})) from schedcore_nodes"
    " where state in ('alive', 'leaving') and id <> %s),"
    " case when %s then pg_notify(%s, %s) end"
)
_POLL_SQL: Final = f"select state, gone, {_SEEN} from schedcore_nodes where id = %s"
_RENEW: Final = (
    f"update schedcore_nodes set lease_us = {CLOCK} + %s"
    f" where id = %s and state in ('alive', 'leaving') returning state, gone, {_SEEN}"
)
_FREE: Final = "select 1 from schedcore_nodes where id = %s for update skip locked"
_LEFT: Final = (
    "update schedcore_nodes set state = 'left' where id = %s and state = 'leaving' and not exists"
    " (select 1 from schedcore_claims c where c.node = schedcore_nodes.id) returning id"
)


class Other(NamedTuple):
    """Another node that is listed as alive."""

    id: int
    boot: str
    over: bool
    """Whether its lease has expired."""


class Poll(NamedTuple):
    """The result of a poll of the database."""

    asked_us: int
    """When the poll began, by :func:`~schedcore.clock.lasting_us`."""
    state: str
    """The state of this node; ``"dead"``: others have declared it dead."""
    gone: int
    shared_state: str
    due_us: int | None
    """When the first job is due that can run here."""
    again_us: int | None
    """When the first run without an owner is due again."""
    waits: bool
    """Whether runs wait behind others."""
    others: tuple[Other, ...]
    notified: bool
    """Whether others have notified changes."""


class LeaseRenewer:
    """Renews the lease of a node, and polls for changes by others, on its own connection.

    It is separate from the threads that act on the results, so that they cannot delay the lease.

    Args:
        database: The database.
        node: The node.
        executors: The names of its executors.
        lease_us: How long a lease lasts.
        clock: The clock of this machine, to compare with the database's.
        woken: Called after each poll.

    Attributes:
        until_us: When the lease expires, by :func:`~schedcore.clock.lasting_us`.
        steady_us: Since when each renewal has been in time; None: the last one was not.
        polled_us: When it polled last.
        error: The current error, if any.
        offset_us: How far the database's clock is ahead of this machine's.
        is_notified: Whether it receives notifications.
        leaving: Whether the node leaves with its last run.
    """

    def __init__(
        self,
        database: PostgresPool,
        node: int,
        executors: Collection[str],
        lease_us: int,
        clock: Clock,
        woken: Callable[[], object],
    ) -> None:
        self.node = node
        self.until_us = self.polled_us = 0
        self.steady_us: int | None = None
        self.error: BaseException | None = None
        self.offset_us: int | None = None
        self.is_notified = self.leaving = False
        self._database = database
        self._executors = list(executors)
        self._lease_us = lease_us
        self._clock = clock
        self._woken = woken
        self._latest: Poll | None = None
        self._stopping = self._notified = False
        self._renewed_us = self._asked_us = 0
        self._asked = self._was_poll_only = False
        self._wake_end, self._woken_end = os.pipe()[::-1]
        self._mutex = threading.RLock()
        self._thread = threading.Thread(target=self._run, name="schedcore-lease", daemon=True)

    def start(self, asked_us: int) -> None:
        """Start, with a lease that was requested at *asked_us*."""
        self._renewed_us, self.until_us = asked_us, asked_us + self._lease_us
        self.polled_us = self.steady_us = asked_us
        self._thread.start()

    def stop(self) -> None:
        """End the thread; it ends by itself once the node has left."""
        self._stopping = True
        self.wake()

    def join(self) -> None:
        """Wait until the thread has ended."""
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(RETRY_S * 4)

    def wake(self) -> None:
        """Poll at once."""
        with self._mutex, suppress(OSError):
            if self._wake_end >= 0:
                os.write(self._wake_end, b"!")

    def latest(self) -> Poll | None:
        """Return the latest poll, once; None: there was none since the last call."""
        with self._mutex:
            latest, self._latest = self._latest, None
        return latest

    # The thread

    def _run(self) -> None:
        try:
            while not self._stopping:
                try:
                    self._listen()
                except BaseException as error:  # noqa: BLE001 — it is tried again
                    # A node that was disconnected itself declares no other node dead.
                    self.steady_us, self.is_notified, self.error = None, False, error
                    self._woken()
                    if not self._stopping:
                        self._sleep(None, RETRY_S)
        finally:
            with self._mutex:
                os.close(self._wake_end)
                os.close(self._woken_end)
                self._wake_end = -1

    def _listen(self) -> None:
        """Poll and listen on one connection, until it is lost."""
        with self._database.connect() as connection, self._database.telling():
            connection.add_notify_handler(lambda note: self._note_notification(note.payload))
            connection.execute(f'listen "{self._database.channel}"')
            self._asked = False
            self._asked_us = 0
            self._notified = True  # for what was sent before
            while not self._stopping:
                self._poll(connection)
                if self.leaving and self._has_left(connection):
                    return self.stop()
                self._wait(connection)
        return None

    def _has_left(self, connection: psycopg.Connection[Row]) -> bool:
        """Have the node be one no more, if none of its runs is open, or may turn out to be."""
        if self._database.in_doubt:
            return False
        with connection.transaction():
            # Not while runs are being opened for it; the second statement sees those that were.
            if connection.execute(_FREE, (self.node,)).fetchone() is None:
                return False
            return connection.execute(_LEFT, (self.node,)).fetchone() is not None

    def _wait(self, connection: psycopg.Connection[Row]) -> None:
        """Wait until it is time to poll again, or a notification arrives."""
        every_us = NOTIFIED_POLL_US if self.is_notified else POLL_US
        until_us = self.polled_us + min(every_us, self._lease_us // RENEWALS)
        while (left_us := until_us - lasting_us()) > 0:
            if self._sleep(connection.fileno(), left_us / SECOND):
                return
            connection.pgconn.consume_input()
            while (note := connection.pgconn.notifies()) is not None:
                self._note_notification(note.extra.decode())
            if self._notified:
                return

    def _sleep(self, file: int | None, seconds: float) -> bool:
        """Wait for data or the time; return whether another thread woke this one."""
        files = [self._woken_end] if file is None else [self._woken_end, file]
        if self._woken_end not in readable(files, seconds):
            return False
        os.read(self._woken_end, 4096)
        return True

    def _note_notification(self, payload: str) -> None:
        if payload == f"echo {self.node}":
            self.is_notified, self._asked, self._was_poll_only = True, False, False
        elif not payload.startswith("echo"):
            self._notified = True

    def _poll(self, connection: psycopg.Connection[Row]) -> None:
        """Poll once; renew the lease if it is time."""
        asked_us, notified = lasting_us(), self._notified
        local_us = self._clock.now_us()
        self._notified = False
        asks = asked_us - self._asked_us >= ECHO_US
        if asks:  # before the answer, which the echo may come with
            self._asked, self._asked_us = True, asked_us
        echo = (asks, self._database.channel, f"echo {self.node}")
        seen = (self._executors, self.node, *echo)
        renews = asked_us - self._renewed_us >= self._lease_us // RENEWALS
        if renews:
            found = connection.execute(_RENEW, (self._lease_us, self.node, *seen)).fetchone()
        else:
            found = connection.execute(_POLL_SQL, (*seen, self.node)).fetchone()
        now_us = lasting_us()
        if self._asked and now_us - self._asked_us > ECHO_TIMEOUT_US:
            self._poll_only()
        self._compare_clocks(found, local_us, now_us - asked_us)
        self._note_delay(asked_us, now_us)
        if found is not None and renews:
            self._renewed_us, self.until_us = asked_us, asked_us + self._lease_us
        self.polled_us, self.error = now_us, None
        with self._mutex:
            before = self._latest  # which nobody has read yet
            notified = notified or (before is not None and before.notified)
            self._latest = _poll_of(asked_us, found, notified)
        self._woken()

    def _note_delay(self, asked_us: int, now_us: int) -> None:
        """Note whether this poll and its answer came in time."""
        slow = max(now_us - asked_us, asked_us - self.polled_us) > self._lease_us // 2
        if slow or self.steady_us is None:
            self.steady_us = now_us

    def _poll_only(self) -> None:
        """Rely on polling alone, since notifications do not arrive."""
        self._asked, self.is_notified = False, False
        if not self._was_poll_only:
            self._was_poll_only = True
            log.warning(
                "the store %s does not tell what others change (is a pooler between?): it is asked"
                " each second",
                self._database.shown,
            )

    def _compare_clocks(self, found: Row | None, local_us: int, took_us: int) -> None:
        """Compare the database's clock with this machine's."""
        if found is None:
            return
        offset_us = int(found[3]) - (local_us + took_us // 2)
        far = abs(offset_us) > 2 * SECOND
        if far and (self.offset_us is None or abs(self.offset_us) <= 2 * SECOND):
            log.warning(
                "the clock of %s is %+.1f s off that of this machine: jobs run by the latter",
                self._database.shown,
                offset_us / SECOND,
            )
        self.offset_us = offset_us


def _poll_of(asked_us: int, found: Row | None, notified: bool) -> Poll:
    if found is None:
        return Poll(asked_us, "dead", 0, "stopped", None, None, False, (), notified)
    state, gone, shared_state, _, due_us, again_us, waits, others, _ = found
    listed: list[Any] = others or []
    return Poll(
        asked_us,
        state,
        gone,
        shared_state,
        due_us,
        again_us,
        waits,
        tuple(Other(*other) for other in listed),
        notified,
    )
