"""The options that type checkers know are those that the engine knows."""

from __future__ import annotations

import inspect
import re
import typing

import pytest

from schedcore import InvalidTriggerError, Retry, Scheduler, job
from schedcore import typed_options as typed
from schedcore.changes.job_changes import CHANGEABLE
from schedcore.triggers import option_names

NAMES = {
    "Date": ["date"],
    "Interval": ["interval"],
    "Cron": ["cron"],
    "CalendarInterval": ["calendarinterval"],
    "Combination": ["and", "or"],
}
KINDS = [(name, kind) for name, kinds in NAMES.items() for kind in kinds]
CALL = {"args", "kwargs", "name"}
OPTIONS = job.OPTION_NAMES | {"next_run_time"}


def keys(name):
    return set(typing.get_type_hints(getattr(typed, name)))


def test_every_kind_of_trigger_has_its_options():
    with pytest.raises(InvalidTriggerError, match="one of ") as refused:
        option_names("?")
    told = re.findall(r"\w+", str(refused.value).partition("one of ")[2])
    assert sorted(told) == sorted(kind for _, kind in KINDS)


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_each_trigger_has_the_options_it_takes(name, kind):
    options = option_names(kind)
    assert keys(f"{name}Options") == options
    assert keys(f"{name}Job") == options | OPTIONS
    assert keys(f"{name}CallJob") == options | OPTIONS | CALL
    assert keys(f"{name}Spec") == options | OPTIONS | CALL | {"func", "id", "trigger"}


def test_jobs_have_the_options_they_take():
    assert keys("JobDefaults") == job.OPTION_NAMES
    assert keys("JobOptions") == OPTIONS
    assert keys("CallOptions") == CALL
    assert keys("JobChanges") | {"trigger"} == CHANGEABLE | {"next_run_time"}
    assert keys("RetryFields") == set(Retry._fields)


def test_add_job_and_add_jobs_take_these_options():
    for method, more in ((Scheduler.add_job, {"replace_existing"}), (Scheduler.draft_job, set())):
        parameters = inspect.signature(method).parameters
        named = {name for name, each in parameters.items() if each.kind is not each.VAR_KEYWORD}
        assert named - {"self"} == keys("MadeTriggerSpec") | more


def test_overlap_has_the_values_it_takes():
    overlap = typing.get_type_hints(typed.JobDefaults)["overlap"]
    assert typing.get_args(overlap) == job.OVERLAPS
