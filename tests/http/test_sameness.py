"""What two lists have in common."""

from __future__ import annotations

from itertools import chain, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedhttp.sameness import same_runs

OBJECTS = [object() for _ in range(400)]
places = st.lists(st.integers(0, 399), unique=True, max_size=400)


@given(places, places, st.integers(0, 30))
def test_a_run_has_the_very_same_objects_in_both(new_places, old_places, most):
    new, old = [OBJECTS[n] for n in new_places], [OBJECTS[n] for n in old_places]
    runs = list(same_runs(new, old, most))
    for run in runs:
        assert run.length > 0
        ours = new[run.new_at : run.new_at + run.length]
        theirs = old[run.old_at : run.old_at + run.length]
        assert len(ours) == len(theirs) == run.length
        assert all(a is b for a, b in zip(ours, theirs, strict=True))
    for before, after in pairwise(runs):
        assert before.new_at + before.length <= after.new_at
        assert before.old_at + before.length <= after.old_at


@pytest.mark.parametrize(
    ("new", "old", "same"),
    [
        ("", "", ""),
        ("abc", "abc", "abc"),
        ("abc", "", ""),
        ("", "abc", ""),
        ("abXcd", "abcd", "abcd"),  # one was added
        ("abcd", "abXcd", "abcd"),  # one was taken out
        ("abXcd", "abYcd", "abcd"),  # one was replaced
        ("bcdeA", "Abcde", "bcde"),  # one moved from the front to the back
        ("Abcde", "bcdeA", "bcde"),
        ("abcX", "abc", "abc"),
        ("Xabc", "abc", "abc"),
    ],
)
def test_single_differences_are_looked_past(new, old, same):
    """Small strings of one letter are the same objects in CPython."""
    runs = same_runs(list(new), list(old), 10)
    found = chain.from_iterable(new[run.new_at : run.new_at + run.length] for run in runs)
    assert "".join(found) == same


def test_long_runs_are_found_whole():
    new = [object() for _ in range(10_000)]
    old = [*new[:5_000], object(), *new[5_001:]]
    assert [tuple(run) for run in same_runs(new, old, 10)] == [
        (0, 0, 5_000),
        (5_001, 5_001, 4_999),
    ]


def test_where_everything_differs_the_end_is_not_looked_for():
    same = object()
    new, old = ([object() for _ in range(1_000)] + [same] for _ in range(2))
    assert list(same_runs(new, old, 10_000)) == []
    assert list(same_runs(new[990:], old[990:], 10_000)) == [(10, 10, 1)]
