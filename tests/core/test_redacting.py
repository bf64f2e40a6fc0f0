"""Secrets in what is shown are hidden."""

from __future__ import annotations

import pytest

from schedcore import InvalidOptionError, Scheduler
from schedcore.basics.shown_urls import without_password
from schedcore.output.redacting import PIECE, in_data, redactor
from schedcore.output.text import HALF, Printed
from tests.patience import SOON


@pytest.mark.parametrize(
    ("patterns", "text", "shown"),
    [
        (["secret"], "a secret, two secrets", "a ******, two ******s"),
        ([r"password=(\S+)"], "password=abc def", "password=*** def"),
        ([r"(?i)(?:key|token)[=:] *(\w+)"], "Token: ab KEY=c", "Token: ** KEY=*"),
        (["(a)b(c)"], "abc", "*b*"),
        (["(a)?b"], "b", "*"),
        (["one", "two"], "one two three", "*** *** three"),
        (["^x"], "x\nx", "*\n*"),
        (["é+"], "caféé", "caf**"),
        ([r"\d{16}"], "1234567890123456", "*" * 16),
        (["x"], "", ""),
    ],
)
def test_what_a_pattern_matches_is_hidden_and_the_text_stays_as_long(patterns, text, shown):
    assert redactor(patterns)(text) == shown


def test_long_lines_are_looked_through_in_pieces_that_end_at_blanks():
    words = "a secret word; " * 1000
    assert redactor(["secret"])(words) == words.replace("secret", "******")
    solid = "x" * 10 * PIECE
    assert redactor(["x"])(solid) == "*" * len(solid)


@pytest.mark.parametrize("text", ["a" * 5_000, "a@" * 500, " " * 5_000, "\n" * 5_000])
def test_any_text_is_looked_through_without_getting_shorter(text):
    assert len(redactor([r"\S+@\S+\.com", r"\w+: \w+$"])(text)) == len(text)


def test_no_patterns_hide_nothing():
    assert redactor([]) is None


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ("secret", "a list of 100 patterns at most"),
        (["x"] * 101, "a list of 100 patterns at most"),
        ([5], "a regular expression"),
        (["x" * 501], "a regular expression"),
        (["("], r"a regular expression .*; here missing \)"),
        (["x*"], "does not match empty text"),
        (["(a+)+$"], "no repetition"),
        (["(?:ab|a)+x"], "no repetition"),
        ([r"\S+@\S+:\S+/\S+"], "no more than 3 repetitions"),
        (["(?:(?:a*)b)*x"], "no repetition"),
        (["(?=(a+)+)x"], "no repetition"),
        (["((a{1,10}){1,10})x"], "no repetition"),
        (["(a|ab){50}x"], "no repetition"),
        (["(a{600,}b|ab{600,}){50}x"], "no repetition"),
        ([r"(a+)\1"], "no reference to a group"),
        (["fine", "(a*)*x"], r"redact\[1\]="),
    ],
)
def test_patterns_that_cannot_be_used(patterns, expected):
    with pytest.raises(InvalidOptionError, match=expected):
        redactor(patterns)


@pytest.mark.parametrize(
    "pattern",
    [
        *("(?:ab){1,5}x+", "[ab]+x", "(?:ab|c)x+", "(?:ab)+", r"\S{1,9}@\S+:\S+/\S+", "x{500}"),
        r"(?i)(?:password|passwd|secret|token|api[_-]?key)\s*[=:]\s*(\S+)",
        r"[\w.+-]+@[\w-]+\.[\w.-]+",
        r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}",
    ],
)
def test_patterns_that_can_be_used(pattern):
    assert redactor([pattern]) is not None


def test_plain_data_is_looked_at_by_names():
    redact = redactor([r"(?:password|pin)=(.+)", "secret"])
    data = {
        "password": "abc",
        "pin": 1234,
        "all": [{"password": "x"}, "a secret", None, True, 1.5],
        "pins": {"pin": [12, 34]},
    }
    assert in_data(redact, data) == {
        "password": "***",
        "pin": "****",
        "all": [{"password": "*"}, "a ******", None, True, 1.5],
        "pins": {"pin": ["**", "**"]},
    }
    harmless = {"a": (1, [2.5, {"b": "c"}])}
    assert in_data(redact, harmless) is harmless


def test_secrets_are_hidden_in_what_a_run_prints():
    scheduler = Scheduler(timezone="UTC", capture_output=True, redact=[r"password=(\S+)"])
    scheduler.start()

    def work():
        print("password=abc")
        print("pass", end="")
        print("word=de")
        raise ValueError("password=fgh")

    scheduler.add_job(work, "interval", hours=1, id="j")
    text = scheduler.output(scheduler.run_job("j", timeout=SOON).id).text
    scheduler.shutdown()
    assert text.startswith("password=***\npassword=**\n")
    assert text.endswith("ValueError: password=***\n")
    # The lines of its code are in the traceback, in which the word is the start of a string.
    assert "fgh\n" not in text


def test_a_pattern_is_checked_when_the_scheduler_is_made():
    with pytest.raises(InvalidOptionError, match=r"redact\[0\]='\('"):
        Scheduler(redact=["("])


@pytest.mark.parametrize("before", range(0, 24, 3))
def test_secrets_are_hidden_where_the_beginning_of_an_output_ends(before):
    redact = redactor([r"password=(\S+)"])
    output = Printed(redact)
    filler = "x" * 99 + "\n"
    output.add((filler * 400)[: HALF - before - 1] + " ")
    output.add("password=hunter2secret\n")
    kept = output.kept()
    assert (kept.head + kept.tail)[HALF - before :] == "password=*************\n"


@pytest.mark.parametrize("cut", range(1, 22))
def test_what_is_left_of_a_secret_is_hidden_where_an_output_is_cut(cut):
    output = Printed(redactor([r"password=(\S+)"]))
    secret = "password=hunter2secret"
    output.add("x\n" * HALF)
    output.add(secret + "\n" + "w" * (HALF - len(secret) - 2 + cut) + "\n")
    assert not set("hunter2sct") & set(output.kept().tail)


@pytest.mark.parametrize("place", [491, 495, 745, 750, 1_240])
def test_secrets_are_hidden_anywhere_in_a_long_line(place):
    redact = redactor([r"password=(\S+)", r"Bearer (\S+)"])
    for start in ("password=", "Bearer "):
        line = "x" * (place - 1) + " " + start + "A" * 900 + " then"
        assert redact(line) == "x" * (place - 1) + " " + start + "*" * 900 + " then"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ann:secret@host:5432/jobs", "postgresql://ann:***@host:5432/jobs"),
        ("redis://:secret@host/0", "redis://:***@host/0"),
        ("redis://:secret@one;redis://:secret@two", "redis://:***@one;redis://:***@two"),
        ("postgresql://ann:secret@one:1,two:2/jobs", "postgresql://ann:***@one:1,two:2/jobs"),
        ("postgresql://ann@host/jobs?password=secret", "postgresql://ann@host/jobs?password=***"),
        ("postgresql://h/j?a=b&pass%77ord=se@cret&c=d", "postgresql://h/j?a=b&pass%77ord=***&c=d"),
        ("redis://host?ssl=1&PASSWD=secret", "redis://host?ssl=1&PASSWD=***"),
        # Not encoded, as people write them
        ("postgresql://ann:sec/ret@host/jobs", "postgresql://ann:***@host/jobs"),
        ("postgresql://ann:sec@ret@host/jobs", "postgresql://ann:***@host/jobs"),
        ("postgresql://ann:sec?r#et@host/jobs", "postgresql://ann:***@host/jobs"),
        ("sqlite:////var/lib/a@b:c/jobs.db", "sqlite:////var/lib/a@b:c/jobs.db"),
        ("tcp://10.0.0.7:8786", "tcp://10.0.0.7:8786"),
        ("not a url", "not a url"),
    ],
)
def test_urls_are_shown_without_passwords(url, shown):
    assert without_password(url) == shown
