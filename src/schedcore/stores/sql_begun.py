"""The beginnings of longer runs of this process, which an SQL store shows to other processes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

from schedcore.stores.claims import ACTIVE
from schedcore.stores.database import Transaction
from schedcore.stores.sql_runs import ClaimRows

# A value read before the transaction may be outdated by now: the run waits for its next attempt,
# or belongs to another process.  Workers write the beginnings of remote runs themselves.
_WRITE: Final = (
    "update schedcore_claims set begun_us = ? where run_id = ? and attempt = ?"
    f" and coalesce(node, 0) = ? and state = {ACTIVE}"
)


class Beginning(NamedTuple):
    """When an attempt of a run began."""

    run_id: int
    attempt: int
    begun_us: int


class Beginnings:
    """Writes each beginning once, inside the caller's transaction.

    Args:
        claims: The open runs.
    """

    def __init__(self, claims: ClaimRows) -> None:
        self._claims = claims
        self._written: set[Beginning] = set()

    def unwritten(self, before_us: int) -> list[Beginning]:
        """Return the beginnings before *before_us* that are not written yet."""
        found: list[Beginning] = []
        for run in self._claims.at_work():
            attempt, begun_us = run._attempt, run._started_us  # it is reset before the next attempt
            if begun_us is not None and begun_us < before_us:
                beginning = Beginning(run._id, attempt, begun_us)
                if beginning not in self._written:
                    found.append(beginning)
        return found

    def write(self, tx: Transaction, beginnings: Sequence[Beginning]) -> None:
        """Write beginnings, of attempts that are still the present ones."""
        node = self._claims.node or 0
        tx.many(_WRITE, [(at, run_id, attempt, node) for run_id, attempt, at in beginnings])
        tx.if_made(partial(self._note, beginnings))

    def _note(self, beginnings: Sequence[Beginning]) -> None:
        live = self._claims.live
        self._written = {each for each in (*self._written, *beginnings) if each.run_id in live}
