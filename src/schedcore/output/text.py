"""A run's output as text: its head and its tail, in bounded memory.

A run that captures has its scheduler's :class:`Capture` in ``run._output``, which a
:class:`Printed` replaces at the first character: a run that prints nothing needs no object.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from schedcore.basics.atfork import Lock, hold_while_forking
from schedcore.errors import InvalidOptionError

if TYPE_CHECKING:
    from schedcore.run import Run

HALF: Final = 32 * 1024
"""Maximum number of characters of the head of the output, and of its tail."""
Redact = Callable[[str], str]
"""Returns a text with its secrets replaced, of the same length."""


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
    """The output of a run, as stores keep it."""

    head: str = ""
    """The first characters."""
    tail: str = ""
    """The last characters after those."""
    total: int = 0
    """The number of all characters, including those between head and tail."""

    def since(self, after: int, ended: bool) -> Output:
        """Return the output after the first *after* characters.

        Raises:
            InvalidOptionError: if *after* is not from 0 to the number of characters.
        """
        if isinstance(after, bool) or not isinstance(after, int) or not 0 <= after <= self.total:
            raise InvalidOptionError(
                "after", after, f"a whole number from 0 to {self.total}, the characters there are"
            )
        begins = self.total - len(self.tail)
        left_out = max(0, begins - max(after, len(self.head)))
        text = self.head[after:]
        if left_out:
            text += f"\n[... {left_out:,} characters are left out ...]\n"
        return Output(text + self.tail[max(0, after - begins) :], self.total, left_out, ended)


class Capture:
    """The value of ``run._output`` until a run prints.

    Args:
        redact: Hides secrets.
    """

    def __init__(self, redact: Redact | None = None) -> None:
        self.redact = redact


class Printed:
    """The output of a run so far.  Only :func:`keep` adds to it.

    Attributes:
        total: The number of printed characters.
        saved: How many of them the store has written.
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
        """The number of kept characters."""
        return self._head_size + self._tail_size

    def add(self, text: str) -> None:
        """Add text, without copying it as a whole: it may be a gigabyte."""
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
            if self._tail_size > 2 * HALF:  # only sometimes, not at each character
                self._tail = ["".join(self._tail)[-HALF:]]
                self._tail_size = HALF

    def add_lines(self, text: str) -> None:
        """Add text that begins on a line of its own."""
        last = (self._tail or self._head or ["\n"])[-1]
        if not last.endswith("\n"):
            self._add("\n")
        self.add(text)

    def follow(self, before: Kept, line: str) -> None:
        """Prepend the output of an earlier attempt in another process, and a separating line."""
        with _lock:
            kept = self.kept()
            self._head, self._tail = [], []
            self._head_size = self._tail_size = self.total = 0
            self.add_kept(before)
            self.add_lines(line)
            self.add_kept(kept)

    def add_kept(self, kept: Kept) -> None:
        """Add the kept output of another process."""
        self._add(kept.head)
        self.total += kept.total - len(kept.head) - len(kept.tail)
        self._add(kept.tail)

    def take(self) -> Kept:
        """Return the kept output, and clear it."""
        with _lock:
            kept = self.kept()
            self._head, self._tail = [], []
            self._head_size = self._tail_size = self.total = 0
        return kept

    def kept(self) -> Kept:
        """Return the kept output, without secrets."""
        with _lock:
            head, tail = "".join(self._head), "".join(self._tail)[-HALF:]
            self._head, self._tail = [head] if head else [], [tail] if tail else []
            self._tail_size = len(tail)
            total = self.total
        redact = self._redact
        if redact is None:
            return Kept(head, tail, total)
        size = len(head)
        if total == size + len(tail):  # nothing is left out between them: a secret may span both
            hidden = redact(head + tail)
            return Kept(hidden[:size], hidden[size:], total)
        # The tail may begin inside a secret, which cannot be recognised.
        cut = len(tail.partition("\n")[0])
        return Kept(redact(head), "*" * cut + redact(tail[cut:]), total)


def keep(run: Run, text: str) -> None:
    """Add text to the output of a run, unless it has ended or does not capture."""
    with _lock:
        output = _open(run) if text else None
        if output is not None:
            output.add(text)


def keep_lines(run: Run, text: str) -> None:
    """The same for text that begins on a line of its own."""
    with _lock:
        output = _open(run)
        if output is not None:
            output.add_lines(text)


def keep_from_elsewhere(run: Run, kept: Kept) -> None:
    """The same for output from another process."""
    with _lock:
        output = _open(run) if kept.total else None
        if output is not None:
            output.add_kept(kept)


def _open(run: Run) -> Printed | None:
    """Return the output of a run, to add to it; None: it has ended, or does not capture."""
    output = run._output
    if output is None or run._outcome is not None:
        return None
    if type(output) is not Printed:
        output = run._output = Printed(output.redact)
    return output


def printed(run: Run) -> Printed | None:
    """Return the output of a run; None: it has none, or does not capture."""
    output = run._output
    return output if type(output) is Printed else None


def between_attempts(attempt: int) -> str:
    """Return the line before the output of each attempt after the first."""
    return f"--- attempt {attempt} ---\n"


def storable(text: str) -> str:
    """Return text that databases and JSON accept: without lone surrogates and null characters."""
    if text.isascii() and "\x00" not in text:
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\x00")


def is_storable(text: object) -> bool:
    """Return whether *text* is text that databases accept unchanged; nothing else is in one."""
    return isinstance(text, str) and storable(text) == text


class _Guard:
    """Holds the lock of all output while the process forks."""

    def data_lock(self) -> Lock:
        """Return the lock."""
        return _lock


# One lock for all runs: it is held only during an append.  Re-entrant, since a finalizer or a
# signal handler may print meanwhile.
_lock = threading.RLock()
_guard = _Guard()
hold_while_forking(_guard)
