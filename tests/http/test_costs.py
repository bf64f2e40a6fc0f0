"""What a refusal costs: the largest body of each kind, in time of the processor."""

from __future__ import annotations

import time
from functools import partial

import pytest

from tests.http.conftest import wsgi

MOST = 1_048_576
BOUND = 3.0
"""Seconds of the processor: some of these bodies would take minutes if the cost grew with n²."""
MOST_ANSWER = 4_000
"""Characters of an answer, however much was sent."""


def filled(before, part, after, joint=","):
    """Return what makes a body of the greatest length allowed, with *part* as often as fits."""
    return partial(_filled, before, part, after, joint)


def _filled(before, part, after, joint):
    count = (MOST - len(before) - len(after)) // (len(part.format(n=100_000)) + len(joint))
    middle = joint.join(part.format(n=100_000 + n) for n in range(count))
    body = (before + middle + after).encode()
    assert MOST * 0.9 < len(body) <= MOST
    return body


JOB = '{"id":"j","func":"math:sqrt","args":[4],"trigger":"interval","seconds":5,'
BODIES = {
    "names, the last twice": filled("{", '"{n}":1', ',"z":1,"z":2}'),
    "names, all twice": filled("{", '"{n}":1,"{n}":1', "}"),
    "unknown fields": filled(JOB, '"secnods{n}":1', "}"),
    "unknown long fields": filled(JOB, '"' + "second" * 2000 + '{n}":1', "}"),
    "one long unknown field": filled(JOB + '"', "seconds{n}", '":1}', ""),
    "unknown options of a trigger": filled(
        '{"id":"j","func":"math:sqrt","trigger":{"type":"cron",', '"hours{n}":1', "}}"
    ),
    "objects in objects": b'{"a":' * (MOST // 6) + b"1" + b"}" * (MOST // 6),
    "lists in lists": b'{"args":' + b"[" * (MOST // 2 - 10) + b"]" * (MOST // 2 - 10) + b"}",
    "brackets": b"[" * MOST,
    "a list": filled("[", "{n}", "]"),
    "not closed": filled("{", '"{n}":1', ""),
    "spaces": b" " * MOST,
    "no UTF-8": b'{"a":"' + b"\xff" * (MOST - 6),
    "a long id": filled('{"func":"math:sqrt","id":"', "id{n}", '"}', ""),
    "a long name": filled('{"func":"math:sqrt","args":[4],"id":"j","name":"', "id{n}", '"}', ""),
    "a long function": filled('{"id":"j","func":"', "a{n}.", 'b:c"}', ""),
    "a long function with dots": filled('{"id":"j","func":"', ".", '"}', ""),
    "a long trigger": filled('{"id":"j","func":"math:sqrt","trigger":"', "a{n}", '"}', ""),
    "a long executor": filled(JOB + '"executor":"', "a{n}", '"}', ""),
    "a long overlap": filled(JOB + '"overlap":"', "a{n}", '"}', ""),
    "a long zone": filled(JOB + '"timezone":"', "a{n}/", 'b"}', ""),
    "a long date": filled(JOB + '"start_date":"2026-01-01T00:00:00.', "{n}", '"}', ""),
    "a long next_run_time": filled(JOB + '"next_run_time":"', "2026-01-01 ", '"}', ""),
    "a long retry": filled(JOB + '"retry":{{"'.replace("{{", "{"), "a{n}", '":1}}', ""),
    "many retries": filled(JOB + '"retry":{', '"a{n}":1', "}}"),
    "a long number": filled(JOB + '"max_instances":', "{n}", "}", ""),
    "a long fraction": filled(JOB + '"minutes":0.', "{n}", "}", ""),
    "a long exponent": filled(JOB + '"minutes":1e', "{n}", "}", ""),
    "many numbers": filled('{"id":"j","func":"math:sqrt","args":[', "{n}", "]}"),
    "many long numbers": filled('{"id":"j","func":"math:sqrt","args":[', "9" * 4000 + "{n}", "]}"),
    "many lists": filled('{"id":"j","func":"math:sqrt","args":[', "[{n}]", "]}"),
    "many keywords": filled('{"id":"j","func":"math:sqrt","kwargs":{', '"a{n}":1', "}}"),
    "a long crontab": filled(
        '{"id":"j","func":"math:sqrt","trigger":"cron","crontab":"', "{n},", '1 * * * *"}', ""
    ),
    "a crontab of many fields": filled(
        '{"id":"j","func":"math:sqrt","trigger":"cron","crontab":"', "* ", '"}', ""
    ),
    "a long hour": filled(
        '{"id":"j","func":"math:sqrt","trigger":"cron","hour":"', "1-2/3,", '1"}', ""
    ),
    "a long day": filled(
        '{"id":"j","func":"math:sqrt","trigger":"cron","day":"', "last fri,", '1"}', ""
    ),
    "many triggers": filled(
        '{"id":"j","func":"math:sqrt","trigger":{"type":"or","triggers":[',
        '{{"trigger":"interval","seconds":{n}}}',
        "]}}",
    ),
    "many dates": filled(
        '{"id":"j","func":"math:sqrt","trigger":{"type":"and","triggers":[',
        '{{"trigger":"date","run_date":"2031-01-01"}}',
        "]}}",
    ),
    "many bad triggers": filled(
        '{"id":"j","func":"math:sqrt","trigger":{"type":"and","triggers":[', '"a{n}"', "]}}"
    ),
    "names of names": filled('{"wait":true,', '"wiat{n}":true', "}"),
}


@pytest.mark.parametrize("kind", BODIES)
def test_the_cost_of_a_refusal_is_bounded(scheduler, kind):
    """At one mount: they differ before the body is read."""
    api = wsgi(scheduler, {"api_allowed_funcs": ["math:sqrt"]})
    body = BODIES[kind]() if callable(BODIES[kind]) else BODIES[kind]
    api.add("j", trigger="interval", hours=1)
    for method, path in (
        ("POST", "/preview"),
        ("POST", "/jobs"),
        ("PATCH", "/jobs/j"),
        ("POST", "/jobs/j/run"),
    ):
        begun = time.thread_time()
        answer = api(method, path, body)
        took = time.thread_time() - begun
        assert took < BOUND, f"{method} {path}: {took:.1f} s"
        if answer.status >= 400:
            assert len(answer.text) < MOST_ANSWER, answer.text[:200]
            assert scheduler.get_job("j") is not None


def test_a_pattern_of_many_stars_is_as_cheap(scheduler):
    api = wsgi(scheduler, {"api_allowed_funcs": ["*.*.*.*.*:run_*"]})
    body = {"func": "a." * 100 + "a:other", "trigger": "date"}
    begun = time.thread_time()
    assert api("POST", "/jobs", body).status == 403
    assert time.thread_time() - begun < BOUND
