"""How many of a job's due fire times start, wait and are skipped: all small cases."""

from __future__ import annotations

from itertools import product

import pytest

from schedcore.admission import admit
from schedcore.job import OVERLAPS, Options


def cases(overlap):
    for due, most, active, waiting, backlog in product(
        range(1, 5), range(1, 5), range(6), range(5), (False, True)
    ):
        for begun in range(active + 1):
            yield due, Options(max_instances=most, overlap=overlap), active, begun, waiting, backlog


@pytest.mark.parametrize("overlap", OVERLAPS)
def test_each_fire_time_is_in_one_part_and_the_limit_holds(overlap):
    for case in cases(overlap):
        due, options, active, begun, waiting, backlog = case
        starts, waits, skipped, evicted = admit(*case)
        assert min(starts, waits, skipped, evicted) >= 0, case
        assert starts + waits + skipped == due, case
        assert evicted <= (begun if overlap == "cancel" else 0), case
        under_way = active - evicted + starts
        assert under_way <= max(active, options.max_instances), case
        if evicted:
            assert under_way == options.max_instances, f"{case}: cancelled more than need be"
        if backlog:
            assert not skipped, case
        if active + waiting + due <= options.max_instances:
            assert starts == due, case


@pytest.mark.parametrize(
    ("overlap", "expected"), [("skip", (0, 0, 2)), ("queue", (0, 1, 1)), ("cancel", (1, 1, 0, 1))]
)
def test_fire_times_that_find_no_room_at_all_are_treated_as_overlap_says(overlap, expected):
    options = Options(overlap=overlap)
    assert (
        admit(2, options, active=1, begun=1, waiting=0, backlog=False)[: len(expected)] == expected
    )


def test_one_waits_at_the_most_where_none_belongs_to_a_backlog():
    options = Options(overlap="queue")
    assert admit(1, options, active=1, begun=1, waiting=1, backlog=False) == (0, 0, 1, 0)
