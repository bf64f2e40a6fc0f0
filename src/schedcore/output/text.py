"""A run's output as text: its beginning and its end, in bounded memory.

A run that captures has its scheduler's :class:`Capture` in ``run._output``, and from the first
character on a :class:`Printed` in its place: one that prints nothing costs no object.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from schedcore.basics.atfork import Lock, hold_while_forking
from schedcore.errors import InvalidOptionError, RunLookupError

if TYPE_CHECKING:
    from schedcore.run import Run, RunRecord
    from schedcore.stores.contract import Store

HALF: Final = 32 * 1024
"""Characters that are kept of the beginning of what a run prints, and as many of its end."""
Redact = Callable[[str], str]
"""Returns a text with its secrets replaced, and not a character longer or shorter."""


class Output(NamedTuple):
    """A run's output, from some position on."""

    text: str
    """The text; a line in it marks where characters were left out."""
    next: int
    """Number of characters so far: the position of what comes next."""
    left_out: int
    """How many of them were left out, between the stored beginning and end."""
    ended: bool
    """Whether the run has ended, so that nothing follows."""


class Kept(NamedTuple):
    """What a run printed, as stores keep it."""

    head: str = ""
    """The first characters."""
    tail: str = ""
    """The last ones of those after them."""
    total: int = 0
    """How many there were, those between head and tail included."""

    def since(self, after: int, ended: bool) -> Output:
        """Return what came after the first *after* characters."""
        begins = self.total - len(self.tail)
        left_out = max(0, begins - max(after, len(self.head)))
        text = self.head[after:]
        if left_out:
            text += f"\n[... {left_out:,} characters are left out ...]\n"
        return Output(text + self.tail[max(0, after - begins) :], self.total, left_out, ended)


class Capture:
    """Stands in ``run._output`` for what a run prints, until it prints.

    Args:
        redact: Hides secrets.
    """

    def __init__(self, redact: Redact | None = None) -> None:
        self.redact = redact


class Printed:
    """What one run has printed up to now.  Only :func:`keep` adds to it.

    Attributes:
        total: How many characters that were.
        saved: How many of them its store has written.
    """

    __slots__ = (
        "_head",
        "_head_size",
        "_redact",
        "_tail",
        "_tail_size",
        "saved",
        "total",
    )

    def __init__(self, redact: Redact | None = None) -> None:
        self._redact = redact
        self._head: list[str] = []
        self._tail: list[str] = []
        self._head_size = self._tail_size = 0
        self.total = self.saved = 0

    @property
    def size(self) -> int:
        """How many characters it keeps."""
        return self._head_size + self._tail_size

    def add(self, text: str) -> None:
        """Add text; of a gigabyte, no copy is made."""
        if len(text) <= 2 * HALF:
            self._add(storable(text))
            return
        self._add(storable(text[:HALF]))
        self.total += len(text) - 2 * HALF
        self._add(storable(text[-HALF:]))

    def _add(self, text: str) -> None:
        self.total += len(text)
        room = HALF - self._head_size
        if room > 0 and text:
            self._head.append(text[:room])
            self._head_size += len(self._head[-1])
            text = text[room:]
        if text:
            self._tail.append(text)
            self._tail_size += len(text)
            if self._tail_size > 2 * HALF:  # now and then, and not at each character
                self._tail = ["".join(self._tail)[-HALF:]]
                self._tail_size = HALF

    def add_lines(self, text: str) -> None:
        """Add text that begins on a line of its own."""
        last = (self._tail or self._head or ["\n"])[-1]
        if not last.endswith("\n"):
            self._add("\n")
        self.add(text)

    def follow(self, before: Kept, line: str) -> None:
        """Put what an earlier attempt printed in another process before it, and a line between."""
        with _lock:
            kept = self.kept()
            self._head, self._tail = [], []
            self._head_size = self._tail_size = self.total = 0
            self.add_kept(before)
            self.add_lines(line)
            self.add_kept(kept)

    def add_kept(self, kept: Kept) -> None:
        """Add what is kept of something else that was printed."""
        self._add(kept.head)
        self.total += kept.total - len(kept.head) - len(kept.tail)
        self._add(kept.tail)

    def take(self) -> Kept:
        """Return what is kept of it, and keep nothing of that any more."""
        with _lock:
            kept = self.kept()
            self._head, self._tail = [], []
            self._head_size = self._tail_size = self.total = 0
        return kept

    def kept(self) -> Kept:
        """Return what is kept of it, without secrets."""
        with _lock:
            head, tail = "".join(self._head), "".join(self._tail)[-HALF:]
            self._head, self._tail = [head] if head else [], [tail] if tail else []
            self._tail_size = len(tail)
            total = self.total
        redact = self._redact
        if redact is None:
            return Kept(head, tail, total)
        size = len(head)
        if total == size + len(tail):  # nothing is left out between them: a secret may be in both
            hidden = redact(head + tail)
            return Kept(hidden[:size], hidden[size:], total)
        # Of what the tail begins in the midst of, nobody can tell whether it is one.
        cut = len(tail.partition("\n")[0])
        return Kept(redact(head), "*" * cut + redact(tail[cut:]), total)


def output_of(store: Store, run: Run | RunRecord | None, run_id: int, after: int) -> Output:
    """Return what a run printed after its first *after* characters.

    Args:
        store: Where it is kept.
        run: The run, or how it ended, as found before: what has ended then is written whole.
        run_id: Its id.
        after: How many characters the caller has.

    Raises:
        RunLookupError: if there is no such run.
        InvalidOptionError: if *after* is not from 0 to the number of characters there are.
    """
    if run is None:
        raise RunLookupError(run_id)
    kept = store.output(run_id)
    if isinstance(after, bool) or not isinstance(after, int) or not 0 <= after <= kept.total:
        raise InvalidOptionError(
            "after", after, f"a whole number from 0 to {kept.total}, the characters there are"
        )
    return kept.since(after, ended=run.outcome is not None)


def keep(run: Run, text: str) -> None:
    """Add to what a run has printed, unless it has ended or captures nothing."""
    with _lock:
        output = _open(run) if text else None
        if output is not None:
            output.add(text)


def keep_lines(run: Run, text: str) -> None:
    """The same of text that begins on a line of its own."""
    with _lock:
        output = _open(run)
        if output is not None:
            output.add_lines(text)


def keep_from_elsewhere(run: Run, kept: Kept) -> None:
    """The same of what was printed in another process."""
    with _lock:
        output = _open(run) if kept.total else None
        if output is not None:
            output.add_kept(kept)


def _open(run: Run) -> Printed | None:
    """Return what a run has printed, to be added to; None: it has ended, or captures nothing."""
    output = run._output
    if output is None or run._outcome is not None:
        return None
    if type(output) is not Printed:
        output = run._output = Printed(output.redact)
    return output


def printed(run: Run) -> Printed | None:
    """Return what a run has printed; None: nothing, or it captures nothing."""
    output = run._output
    return output if type(output) is Printed else None


def between_attempts(attempt: int) -> str:
    """Return the line before what an attempt prints that is not the first."""
    return f"--- attempt {attempt} ---\n"


def storable(text: str) -> str:
    """Return text as databases and JSON take it: no lone surrogates, and no character 0."""
    if text.isascii() and "\x00" not in text:
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\x00")


class _Guard:
    """Holds the lock of all that is printed over forks."""

    def data_lock(self) -> Lock:
        """Return the lock."""
        return _lock


# One for all runs: it is held for the time of an append.  Re-entrant, since a finalizer or a signal
# handler may print in the midst of it.
_lock = threading.RLock()
_guard = _Guard()
hold_while_forking(_guard)
