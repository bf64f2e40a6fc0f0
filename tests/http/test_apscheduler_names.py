"""Names that users of APScheduler look for: what is missing says what there is instead."""

from __future__ import annotations

import copy

import pytest

import schedcore
from schedcore import Scheduler
from schedcore.basics.apscheduler_names import PACKAGE_HINTS, SCHEDULER_HINTS
from schedhttp.flask import APScheduler


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("BackgroundScheduler", "run_forever"),
        ("BlockingScheduler", "run_forever"),
        ("AsyncIOScheduler", "coroutine"),
        ("SQLAlchemyJobStore", r"store='sqlite:///"),
        ("ThreadPoolExecutor", "ThreadPool"),
        ("APScheduler", "schedhttp.flask"),
        ("EVENT_SCHEDULER_START", "EVENT_SCHEDULER_STARTED"),
    ],
)
def test_an_import_that_fails_says_what_there_is(name, instead):
    with pytest.raises(ImportError, match=f"{name}.*{instead}"):
        exec(f"from schedcore import {name}")


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("configure", r"Scheduler\(timezone"),
        ("add_jobstore", r"store='sqlite:///"),
        ("remove_jobstore", r"store='sqlite:///"),
        ("add_executor", r"Scheduler\(executors"),
        ("print_jobs", "get_jobs"),
        ("export_jobs", "get_jobs"),
    ],
)
@pytest.mark.parametrize("of", [Scheduler, APScheduler])
def test_a_method_that_is_missing_says_what_there_is(of, name, instead):
    with pytest.raises(AttributeError, match=f"'{name}': .*{instead}"):
        getattr(of(), name)
    assert not hasattr(of(), name)


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("delete_job", "remove_job"),
        ("delete_all_jobs", "remove_all_jobs"),
        ("scheduled_job", "task"),
        ("history", r"scheduler\.history"),
        ("reschedule_job", r"scheduler\.reschedule_job"),
    ],
)
def test_the_flask_extension_says_where_the_rest_is(name, instead):
    with pytest.raises(AttributeError, match=instead):
        getattr(APScheduler(), name)


def test_nothing_that_is_told_to_be_missing_is_there():
    assert not PACKAGE_HINTS.keys() & {*dir(schedcore), *schedcore.__all__}
    assert not SCHEDULER_HINTS.keys() & {*dir(Scheduler), *dir(APScheduler)}


def test_other_names_are_missing_as_ever():
    for thing in (schedcore, Scheduler(), APScheduler()):
        with pytest.raises(AttributeError, match=r"no attribute 'nonsense'$"):
            _ = thing.nonsense
    with pytest.raises(ImportError, match="cannot import name"):
        exec("from schedcore import nonsense")
    assert not hasattr(Scheduler(), "__deepcopy__")
    assert copy.copy(APScheduler()).app is None
