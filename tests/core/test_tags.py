"""Tags: words of a job, kept in one form whatever they are given as."""

from __future__ import annotations

import pytest

from schedcore import IntervalTrigger, InvalidOptionError, Scheduler, jobdata


def work():
    pass


@pytest.fixture
def scheduler():
    return Scheduler(timezone="UTC")


def add(scheduler, **options):
    return scheduler.add_job(work, "interval", hours=1, **options)


@pytest.mark.parametrize("given", [["b", "a", "b"], ("b", "a"), {"a", "b"}, frozenset("ab")])
def test_they_are_sorted_and_each_is_there_once(scheduler, given):
    assert add(scheduler, tags=given).tags == ("a", "b")


def test_a_job_has_none_unless_they_are_given(scheduler):
    assert add(scheduler).tags == ()


def test_a_change_replaces_them_all_and_none_takes_them_back_to_the_default():
    scheduler = Scheduler(timezone="UTC", job_defaults={"tags": ["ours"]})
    job = add(scheduler)
    assert job.tags == ("ours",)
    assert job.modify(tags=["billing"]).tags == ("billing",)
    assert job.modify(tags=[]).tags == ()
    assert job.modify(tags=None).tags == ("ours",)


def test_they_are_found_among_all_jobs(scheduler):
    scheduler.add_jobs(
        {"func": work, "trigger": "interval", "hours": 1, "id": job_id, "tags": tags}
        for job_id, tags in (("1", ["billing", "nightly"]), ("2", ["nightly"]), ("3", []))
    )
    found = [job.id for job in scheduler.get_jobs() if "nightly" in job.tags]
    assert sorted(found) == ["1", "2"]


def test_they_are_part_of_what_makes_a_definition_another(scheduler):
    every = IntervalTrigger(hours=1)
    one, same, other = (
        jobdata.fingerprint(add(scheduler, tags=tags).definition, every)
        for tags in (["a", "b"], ["b", "a"], ["a"])
    )
    assert one == same != other


def test_plain_data_has_them_as_a_list(scheduler):
    job = add(scheduler, tags={"b", "a"}).definition
    data = jobdata.job_to_dict(job)
    assert data["tags"] == ["a", "b"]
    assert jobdata.job_from_dict(data).tags == ("a", "b")
    del data["tags"]
    assert jobdata.job_from_dict(data).tags == ()


@pytest.mark.parametrize(
    "tags",
    [
        "billing",
        5,
        {"billing": True},
        [""],
        ["x" * 65],
        [5],
        [None],
        ["a\nb"],
        ["a\x1b[31m"],
        [" a"],
        ["a "],
        ["\u202e"],
        ["\ud800"],
        [["a"]],
        [str(n) for n in range(33)],
    ],
    ids=ascii,
)
def test_what_is_no_tag_is_refused(scheduler, tags):
    with pytest.raises(InvalidOptionError, match=r"tags=.*expected"):
        add(scheduler, tags=tags)
    job = add(scheduler, tags=[str(n) for n in range(32)])
    with pytest.raises(InvalidOptionError, match=r"tags=.*expected"):
        job.modify(tags=tags)
    assert len(job.tags) == 32
