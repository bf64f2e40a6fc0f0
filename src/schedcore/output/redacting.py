"""Hides secrets in texts by patterns.

The length of a text does not change, so that positions in it stay valid.
"""

from __future__ import annotations

import importlib
import math
import re
import sys
from collections.abc import Iterator, Sequence
from operator import is_
from typing import Any, Final

from schedcore.errors import InvalidOptionError
from schedcore.output.text import Redact
from schedcore.run import RunRecord

MOST: Final = 100
"""Maximum number of patterns."""
LONGEST: Final = 500
"""Maximum length of a pattern."""
MOST_ENDLESS: Final = 3
"""Maximum number of unbounded repetitions in a pattern."""
_MOST_CHOICES: Final = 1e10
"""Maximum number of ways in which a pattern may match a text: trying more takes for ever."""
PIECE: Final = 500
"""Maximum length of text that a pattern is matched against at once, since the time may grow with
its square or cube.  Longer lines are matched in pieces, each of which begins in the middle of the
one before.  A secret at the end of a piece is hidden up to the next blank.
"""

_LINES = re.compile(r"[^\n]+")
_BLANK = re.compile(r"\s|\Z")


def redactor(patterns: object, option: str = "redact") -> Redact | None:
    """Return a function that hides what *patterns* match in a text; None if there are none.

    If a pattern has groups, only those are hidden: so
    ``password=(\\S+)`` hides only the password.

    Args:
        patterns: Regular expressions, each of which is matched within lines.
        option: The name of the option in errors.

    Raises:
        InvalidOptionError: if one is invalid, or may take for ever.
    """
    if isinstance(patterns, str) or not isinstance(patterns, Sequence) or len(patterns) > MOST:
        raise InvalidOptionError(option, patterns, f"a list of {MOST} patterns at most")
    compiled = [_compiled(f"{option}[{n}]", pattern) for n, pattern in enumerate(patterns)]
    if not compiled:
        return None

    return Redactor(compiled)


class Redactor:
    """Hides what patterns match in a text.  Its ``repr`` is that of the patterns.

    Args:
        patterns: The patterns.
    """

    def __init__(self, patterns: Sequence[re.Pattern[str]]) -> None:
        self._patterns = patterns

    def __call__(self, text: str) -> str:
        """Return *text* with its secrets replaced, of the same length."""
        return _LINES.sub(lambda line: _without(self._patterns, line[0]), text)

    def __repr__(self) -> str:
        return f"Redactor({[pattern.pattern for pattern in self._patterns]!r})"


def _without(patterns: Sequence[re.Pattern[str]], line: str) -> str:
    """Return a line with what the patterns match hidden."""
    hidden: list[tuple[int, int]] = []
    for start in range(0, max(1, len(line) - PIECE // 2), PIECE // 2):
        piece = line[start : start + PIECE]
        for pattern in patterns:
            for match in pattern.finditer(piece):
                hidden += ((start + first, start + last) for first, last in _spans(match))
    for first, last in hidden:
        # A match at the end of a piece may continue.
        goes_on = last % (PIECE // 2) == 0 and last >= PIECE
        end = _next_blank(line, last) if goes_on else last
        line = line[:first] + "*" * (end - first) + line[end:]
    return line


def _next_blank(line: str, start: int) -> int:
    found = _BLANK.search(line, start)
    return len(line) if found is None else found.start()


def in_data(redact: Redact, value: Any, name: str = "") -> Any:
    """Return plain data without secrets: texts and numbers, each matched as ``name=value``.

    Data without secrets is returned unchanged, as the same object.
    """
    if isinstance(value, dict):
        shown = {key: in_data(redact, each, str(key)) for key, each in value.items()}
        return value if all(shown[key] is value[key] for key in value) else shown
    if isinstance(value, list | tuple):
        items = [in_data(redact, each, name) for each in value]
        return value if all(map(is_, items, value)) else items
    if value is None or isinstance(value, bool):
        return value
    text = str(value)
    whole = f"{name}={text}" if name else text
    hidden = redact(whole)
    return value if hidden == whole else hidden[len(whole) - len(text) :]


def in_record(redact: Redact, record: RunRecord) -> RunRecord:
    """Return an outcome without secrets in its result and its error."""
    shown: dict[str, Any] = {
        name: (text := getattr(record, name)) and redact(text) for name in _TEXTS
    }
    return record._replace(**shown)


_TEXTS: Final = ("result", "error_text", "reason")


def _spans(match: re.Match[str]) -> list[tuple[int, int]]:
    """Return the spans to hide: the groups of a match, or the whole match if it has none."""
    spans = [match.span(n) for n in range(1, match.re.groups + 1) if match.start(n) >= 0]
    return spans or [match.span()]


def _compiled(option: str, pattern: object) -> re.Pattern[str]:
    expected = f"a regular expression of {LONGEST} characters at most, such as 'password=(\\S+)'"
    if not isinstance(pattern, str) or len(pattern) > LONGEST:
        raise InvalidOptionError(option, pattern, expected)
    try:
        compiled = re.compile(pattern)
        parsed = _parser.parse(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise InvalidOptionError(option, pattern, f"{expected}; here {error}") from None
    if compiled.search("") is not None:
        raise InvalidOptionError(option, pattern, "a pattern that does not match empty text")
    if _endless(parsed) > MOST_ENDLESS or _choices(parsed) > _MOST_CHOICES:
        raise InvalidOptionError(
            option,
            pattern,
            "no repetition or choice within a repetition, as in (a+)+ or (ab|a)+, no reference"
            f" to a group, and no more than {MOST_ENDLESS} repetitions without an end: with some"
            " texts, those take exponential time",
        )
    return compiled


_parser: Final = importlib.import_module(
    "re._parser" if sys.version_info >= (3, 11) else "sre_parse"
)
_REPEATS: Final = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")


def _choices(parsed: Any) -> float:
    """Return the maximum number of ways in which a pattern may match a text."""
    ways = 1.0
    for operation, what in parsed:
        kind, parts = str(operation), [_choices(part) for part in _parts(what)]
        if kind.startswith("GROUPREF"):
            return math.inf
        if kind == "BRANCH":
            ways *= sum(parts)
        elif kind in _REPEATS:
            high = min(int(what[1]), PIECE)
            ways *= max(1, high - what[0] + 1)
            if parts[0] > 1:  # each repetition is another choice; the bounds keep it a float
                ways *= min(parts[0], 1e6) ** min(high, 40)
        else:
            ways *= math.prod(parts)
    return ways


def _endless(parsed: Any) -> int:
    """Return the number of unbounded repetitions in a pattern."""
    return sum(
        (str(operation) in _REPEATS and int(what[1]) > PIECE) + sum(map(_endless, _parts(what)))
        for operation, what in parsed
    )


def _parts(what: Any) -> Iterator[Any]:
    """Yield the patterns inside a part of a pattern."""
    if isinstance(what, _parser.SubPattern):
        yield what
    elif isinstance(what, list | tuple):
        for each in what:
            yield from _parts(each)
