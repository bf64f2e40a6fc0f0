"""Something is done to a job only if it is what the caller thinks, in the same step."""

from __future__ import annotations

import pytest

from schedcore import JobLookupError, Outcome

ACTIONS = ("pause_job", "resume_job", "remove_job", "run_job")


class Refused(Exception):
    """What a check raises."""


def refuse(entry):
    raise Refused(entry.job.name)


@pytest.mark.parametrize("action", ACTIONS)
def test_what_the_check_raises_leaves_the_job_alone(started, action):
    started.add_job(print, "interval", hours=1, id="j")
    before = started.entry("j")
    with pytest.raises(Refused, match="print"):
        getattr(started, action)("j", check=refuse)
    assert started.entry("j") == before
    assert started.history("j") == []


@pytest.mark.parametrize("action", ACTIONS)
def test_a_check_that_holds_changes_nothing_about_the_action(started, action):
    started.add_job(int, "interval", hours=1, id="j")
    started.add_job(int, "interval", hours=1, id="other")
    seen = []
    getattr(started, action)("j", check=lambda entry: seen.append(entry.job.id))
    getattr(started, action)("other")
    assert seen == ["j"]
    assert [record.outcome for record in started.history("j")] == [
        Outcome.EXECUTED for _ in started.history("other")
    ]
    assert (started.get_job("j") is None) == (started.get_job("other") is None)


@pytest.mark.parametrize("action", ACTIONS)
def test_without_the_job_nothing_is_checked(started, action):
    with pytest.raises(JobLookupError):
        getattr(started, action)("none", check=refuse)


@pytest.mark.parametrize("action", ["pause_job", "remove_job"])
def test_what_is_checked_is_what_is_changed(started, action):
    """A change between the check and the deed is seen: the check is asked again."""
    started.add_job(print, "interval", hours=1, id="j", name="first")
    seen = []

    def check(entry):
        seen.append(entry.job.name)
        if len(seen) == 1:
            started.modify_job("j", name="second")
        elif len(seen) == 2:
            raise Refused

    with pytest.raises(Refused):
        getattr(started, action)("j", check=check)
    assert seen == ["first", "second"]
    assert started.entry("j").job.name == "second"
    assert started.entry("j").due_us is not None


def test_the_definition_that_was_checked_is_the_one_that_runs(started):
    started.add_job(str, "interval", ["first"], hours=1, id="j")

    def check(entry):
        started.modify_job("j", args=["second"])

    started.run_job("j", check=check)
    assert [record.result for record in started.history("j")] == ["'first'"]
