"""Names that users of APScheduler look for: what is missing says what there is instead."""

from __future__ import annotations

import copy

import pytest
from flask import Flask

import schedcore
from schedcore import AsyncScheduler, InvalidOptionError, InvalidTriggerError, Scheduler
from schedcore.basics.apscheduler_names import PACKAGE_HINTS, SCHEDULER_HINTS
from schedhttp.flask import APScheduler


def of_apscheduler(name):
    """Return an object of a class that APScheduler, which the tests do not need, could have."""
    return type(name, (), {"__module__": "apscheduler.somewhere"})()


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
        ("STATE_RUNNING", "State.RUNNING"),
    ],
)
def test_an_import_that_fails_says_what_there_is(name, instead):
    with pytest.raises(ImportError, match=f"{name}.*{instead}"):
        exec(f"from schedcore import {name}")


@pytest.mark.parametrize("name", ["STATE_RUNNING", "BackgroundScheduler"])
def test_so_does_one_from_the_flask_extension(name):
    with pytest.raises(ImportError, match=f"{name}.*from schedcore import"):
        exec(f"from schedhttp.flask import {name}")


def test_the_basic_auth_of_flask_apscheduler_is_replaced_by_the_one_of_the_same_name():
    app = Flask("shop")
    app.config["SCHEDULER_AUTH"] = of_apscheduler("HTTPBasicAuth")
    app.config["SCHEDULER_API_ENABLED"] = app.testing = True
    with pytest.raises(InvalidOptionError, match=r"schedhttp\.flask\.HTTPBasicAuth\(\)"):
        APScheduler(app=app)


@pytest.mark.parametrize(
    ("arguments", "instead"),
    [
        ({"jobstores": {}}, r"'jobstores': .*store='sqlite:///"),
        ({"daemon": True}, "'daemon': .*run_forever"),
        ({"timezone": "UTC", "misfire_grace_time": 5}, r"'misfire_grace_time': .*job_defaults="),
        ({"nonsense": 1}, "'nonsense'$"),
    ],
)
@pytest.mark.parametrize("of", [Scheduler, AsyncScheduler])
def test_an_argument_of_a_scheduler_that_is_missing_says_what_there_is(of, arguments, instead):
    with pytest.raises(TypeError, match=f"unexpected keyword argument {instead}"):
        of(**arguments)


@pytest.mark.parametrize(
    ("trigger", "options", "instead"),
    [
        ("interval", {"seconds": 5, "jobstore": "default"}, "jobstore.*has one store: leave this"),
        ("cron", {"weekday": "mon"}, "weekday.*did you mean 'day_of_week'"),
        (None, {"schedule": 30.0}, "schedule=30.0: .*trigger='interval', seconds=30"),
        (None, {"seconds": 30, "queue": "x"}, "seconds=30: .*did you mean trigger='interval'"),
        ("*/5 * * * *", {}, r"'cron', crontab='\*/5 \* \* \* \*'"),
        ("@daily", {}, "'cron', crontab='@daily'"),
        (of_apscheduler("IntervalTrigger"), {}, "'from schedcore import IntervalTrigger'"),
    ],
)
def test_a_schedule_of_another_scheduler_says_how_it_is_written(trigger, options, instead):
    with pytest.raises(InvalidTriggerError, match=instead):
        Scheduler().add_job(print, trigger, **options)


@pytest.mark.parametrize("decorator", [Scheduler().task, APScheduler().task])
def test_a_decorator_without_parentheses_is_refused_rather_than_without_effect(decorator):
    with pytest.raises(InvalidTriggerError, match=r'@scheduler.task\("interval", seconds=30\)'):

        @decorator
        def work():
            """Do nothing."""


@pytest.mark.parametrize("given", [of_apscheduler("BackgroundScheduler"), Flask("shop")])
def test_the_flask_extension_takes_no_scheduler_of_another_kind(given):
    with pytest.raises(InvalidOptionError, match=r"scheduler=.*schedcore.Scheduler.*app=app"):
        APScheduler(given)


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
