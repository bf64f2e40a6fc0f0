"""Pictures are XML with the right numbers in it, of bounded size, and carry no code of others."""

from __future__ import annotations

from datetime import datetime, timezone
from random import Random
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import pytest

from schedcore.clock import SECOND, to_us
from schedhttp.dashboard.pictures.heat import Cell, by_hour, heat
from schedhttp.dashboard.pictures.load import Part, load
from schedhttp.dashboard.pictures.scale import Scale, axis
from schedhttp.dashboard.pictures.spans import MOST, Span, spans
from schedhttp.dashboard.pictures.timeline import COLUMNS, Happening, lane

UTC = timezone.utc
BERLIN = ZoneInfo("Europe/Berlin")
MINUTE, HOUR = 60 * SECOND, 3_600 * SECOND
HOSTILE = '</title><img src=x onerror="alert(1)">]]>&\x00\x1b\u202e\ud800\ufffe'
SVG = "{http://www.w3.org/2000/svg}"


def at(text, zone=UTC):
    return to_us(datetime.fromisoformat(text).replace(tzinfo=zone))


def parsed(picture):
    """Return a picture as XML, in which nothing but what pictures are made of may be."""
    root = ET.fromstring(picture)
    for element in root.iter():
        assert element.tag.removeprefix(SVG) in {"svg", "rect", "line", "circle", "text", "title"}
        assert not {name for name in element.attrib if name == "style" or name.startswith("on")}
    assert root.get("role") == "img"
    assert root.get("aria-label")
    return root


def all_of(root, kind, name="rect"):
    return [each for each in root.iter(SVG + name) if each.get("class") == kind]


def titles(root):
    return [each.text for each in root.iter(SVG + "title")]


def happening(due, late=0, took=0, kind="executed", why="it took long"):
    due_us = at(f"2026-03-28T{due}")
    begin_us = due_us + late * SECOND
    return Happening(due_us, begin_us, begin_us + took * SECOND, kind, why)


DAY = Scale(at("2026-03-28"), at("2026-03-29"))
NOON = at("2026-03-28T12:00")


def test_a_run_is_where_and_as_long_as_it_was():
    root = parsed(lane(DAY, UTC, NOON, [happening("06:00", took=7_200)], []))
    (bar,) = all_of(root, "good")
    assert (bar.get("x"), bar.get("width")) == ("25.00%", "8.33%")
    assert titles(root) == ["due 2026-03-28 06:00:00 UTC: it took long"]
    (now,) = all_of(root, "now", "line")
    assert now.get("x1") == "50.00%"


def test_what_began_late_shows_since_when():
    root = parsed(lane(DAY, UTC, NOON, [happening("06:00", late=3_600, took=60)], []))
    (late,) = all_of(root, "late")
    assert (late.get("x"), late.get("width")) == ("25.00%", "4.17%")
    assert "late by 1 h" in titles(root)


def test_what_stands_together_is_one_bar_in_the_colour_of_the_worst():
    close = [happening(f"06:00:{n:02}") for n in range(10)]
    close.append(happening("06:00:05", kind="failed", why="ValueError: no"))
    root = parsed(lane(DAY, UTC, NOON, close, []))
    assert not all_of(root, "good")
    assert len(all_of(root, "bad")) == 1
    assert titles(root) == ["1 failed, 10 executed from 2026-03-28 06:00:00 UTC on: ValueError: no"]
    assert root.get("aria-label") == "1 failed, 10 executed; nothing to come"


def test_kinds_differ_by_more_than_their_colours():
    kinds = ("executed", "failed", "missed", "skipped", "running")
    lanes = [parsed(lane(DAY, UTC, NOON, [happening("06:00", kind=kind)], [])) for kind in kinds]
    bars = [next(root.iter(SVG + "rect")) for root in lanes]
    assert len({(bar.get("y"), bar.get("height")) for bar in bars}) == len(kinds)


def test_what_is_to_come_is_told_apart_and_counted():
    coming = [NOON + n * MINUTE for n in range(1, 61)]
    root = parsed(lane(DAY, UTC, NOON, [], coming, took_us=HOUR))
    told = titles(root)
    assert 1 < len(told) <= 10
    assert "from 2026-03-28 12:01:00 UTC to" in told[0]
    assert root.get("aria-label") == "nothing was due; 60 to come"
    assert all_of(root, "coming")[0].get("width") > "4.17%"


def test_what_lies_outside_is_not_drawn():
    outside = [happening("23:59")._replace(due_us=at("2026-03-29T00:00"))]
    root = parsed(lane(DAY, UTC, NOON, outside, [at("2026-03-29"), at("2026-03-27")]))
    assert titles(root) == []


def test_a_lane_has_no_more_elements_however_much_there_is():
    random = Random(1)
    many = [
        Happening(us, us, us + random.randrange(HOUR), random.choice(["failed", "executed"]), "x")
        for us in random.choices(range(*DAY), k=20_000)
    ]
    coming = sorted(random.choices(range(*DAY), k=20_000))
    root = parsed(lane(DAY, UTC, NOON, many, coming))
    assert len(titles(root)) <= 2 * COLUMNS


@pytest.mark.parametrize(
    "picture",
    [
        lambda text: lane(DAY, UTC, NOON, [happening("06:00", why=text)], []),
        lambda text: lane(DAY, UTC, NOON, [happening("06:00", why=text * 1_000)], []),
        lambda text: spans(text, [Span(NOON, 1.0, "executed")], UTC),
        lambda text: spans(text, [], UTC),
    ],
)
def test_texts_of_others_are_texts_and_what_nobody_sees_in_them_is_shown(picture):
    root = parsed(picture(HOSTILE))
    text = " ".join([*map(str, titles(root)), root.get("aria-label")])
    assert '<img src=x onerror="alert(1)">' in text
    assert "␀␛⟨U+202E⟩" in text
    assert len(text) < 700


# Clocks that change


def names(zone, begin, end):
    scale = Scale(at(begin, zone), at(end, zone))
    return [(name, round((us - scale.begin_us) / HOUR, 2)) for us, name in scale.ticks(zone)]


def test_the_hour_that_clocks_pass_over_has_no_name():
    assert names(BERLIN, "2026-03-29T00:00", "2026-03-29T06:00") == [
        ("29 Mar", 0.0),
        ("01:00", 1.0),
        ("03:00", 2.0),
        ("04:00", 3.0),
        ("05:00", 4.0),
    ]


def test_the_hour_that_comes_twice_is_named_once_and_takes_two():
    assert names(BERLIN, "2026-10-25T00:00", "2026-10-25T05:00")[2:4] == [
        ("02:00", 2.0),
        ("03:00", 4.0),
    ]


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ("2026-03-28T00:08", ["28 Mar", "00:01", "00:02"]),
        ("2026-03-28T20:00", ["28 Mar", "03:00", "06:00"]),
        ("2026-04-20T00:00", ["28 Mar", "4 Apr", "11 Apr"]),
        ("2030-04-20T00:00", ["Mar 2026", "Mar 2027", "Mar 2028"]),
    ],
)
def test_names_are_round_and_few(end, expected):
    found = Scale(at("2026-03-28"), at(end)).ticks(UTC)
    assert [name for _, name in found][:3] == expected
    assert len(found) <= 10


def test_an_axis_tells_from_when_to_when():
    root = parsed(axis(DAY, BERLIN, NOON))
    assert root.get("aria-label") == "from 2026-03-28 01:00:00 CET to 2026-03-29 01:00:00 CET"


def test_heat_is_by_the_clocks_of_the_zone():
    """A run at 01:30 UTC each day: 02:30 in Berlin, and 03:30 once clocks have changed."""
    due = [(at("2026-03-22T01:30") + day * 24 * HOUR, day == 3) for day in range(14)]
    cells = by_hour(due, BERLIN)
    assert cells[6, 2] == cells[0, 2] == Cell(1, 0)
    assert cells[6, 3] == Cell(1, 0)
    assert cells[2, 2] == Cell(1, 1)
    assert sum(cell.runs for cell in cells.values()) == 14


def test_heat_is_darkest_where_most_was_due_and_marks_what_went_wrong():
    cells = {(0, 2): Cell(100, 0), (1, 2): Cell(1, 1), (2, 2): Cell(50, 0)}
    root = parsed(heat(cells))
    dark = [len(all_of(root, f"level{n}")) for n in range(5)]
    assert dark == [24 * 7 - 3, 1, 1, 0, 1]
    assert len(all_of(root, "bad", "circle")) == 1
    assert "Tue 02:00: 1 due, 1 went wrong" in titles(root)
    assert root.get("aria-label") == (
        "most was due Mon at 02:00, 100 times; 1 went wrong, 1 of them Tue at 02:00"
    )


def test_an_empty_heat_map_says_so():
    assert parsed(heat({})).get("aria-label") == "nothing was due yet"


# Load


def test_load_shows_where_more_is_due_than_there_are_workers():
    parts = [Part(NOON, NOON + HOUR, 4, 4), Part(NOON + HOUR, NOON + 2 * HOUR, 20, 20)]
    root = parsed(load(Scale(NOON, NOON + 2 * HOUR), UTC, parts, 10))
    (within,), (above,) = all_of(root, "open"), all_of(root, "bad")
    assert [within.get("height"), above.get("height")] == ["20.0", "100.0"]
    (limit,) = all_of(root, "limit", "line")
    assert limit.get("y1") == "68.0"
    assert root.get("aria-label") == (
        "at most 20 runs at once, about 2026-03-28 13:00:00 UTC; 10 can"
    )
    assert "2026-03-28 13:00:00 UTC: 20 at once, 20 due" in titles(root)


def test_load_without_workers_or_runs():
    scale = Scale(NOON, NOON + HOUR)
    assert not all_of(parsed(load(scale, UTC, [Part(*scale, 5, 5.25)], None)), "bad")
    nothing = parsed(load(scale, UTC, [Part(*scale, 0, 0)], 3))
    assert nothing.get("aria-label") == "nothing is to come; 3 can run at once"


# Spans


def test_spans_are_as_high_as_they_are_long():
    found = [Span(NOON + n * MINUTE, float(n), "executed") for n in range(5)]
    found[2] = found[2]._replace(kind="timed_out")
    root = parsed(spans("Durations", found, UTC))
    heights = [float(dot.get("cy")) for dot in root.iter(SVG + "circle")]
    assert heights == [116.0, 91.5, 67.0, 42.5, 18.0]
    (wrong,) = all_of(root, "bad", "circle")
    assert wrong.get("r") > all_of(root, "good", "circle")[0].get("r")
    assert root.get("aria-label") == "Durations of the last 5: half up to 2.0 s, the longest 4.0 s"
    assert "2026-03-28 12:02:00 UTC: 2.0 s, timed out" in titles(root)


def test_only_so_many_dots_are_drawn_and_the_latest():
    random = Random(1)
    found = [Span(NOON + n, random.random(), "executed") for n in range(5_000)]
    random.shuffle(found)
    root = parsed(spans("Durations", found, UTC))
    assert len(all_of(root, "good", "circle")) == MOST
    assert "of the last 500" in root.get("aria-label")


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_a_single_span_of_no_length_has_a_place(seconds):
    (dot,) = all_of(parsed(spans("Late", [Span(NOON, seconds, "executed")], UTC)), "good", "circle")
    assert (dot.get("cx"), dot.get("cy")) == ("50.00%", "116.0")
