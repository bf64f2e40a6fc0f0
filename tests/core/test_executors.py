"""Which executors a scheduler takes, and which jobs they take."""

from __future__ import annotations

import functools
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from unittest.mock import Mock

import pytest

from schedcore import InvalidOptionError, Scheduler, ThreadPool
from schedcore.executors.futures import FuturesAdapter
from schedcore.executors.inline import InlineExecutor
from tests.naming import case


def top_level(*args):
    return args


class TopLevel:
    def method(self):
        return None

    @classmethod
    def of_class(cls):
        return None

    def __call__(self):
        return None


def local():
    def function():
        return None

    return function


def local_class():
    class Local:
        def method(self):
            return None

        @classmethod
        def of_class(cls):
            return None

        def __call__(self):
            return None

    return Local


def local_class_that_pickles_itself():
    class Local:
        def __call__(self):
            return None

        def __reduce__(self):
            return TopLevel, ()

    return Local


@pytest.mark.parametrize(
    ("executors", "named"),
    [
        ({"default": 5}, "default"),
        ({"default": None}, "default"),
        ({"default": "threadpool"}, "default"),
        ({"default": object()}, "default"),
        ({"default": ThreadPool}, "class"),
        ({"coroutines": 5}, "coroutines"),
        ({"mine": {"type": "treadpool"}}, "did you mean 'threadpool'"),
        ({"mine": {"type": "threadpool", "max_worker": 3}}, "did you mean 'max_workers'"),
        ({"mine": {"max_workers": 0}}, "max_workers"),
        ({"mine": {"type": "processpool", "max_workers": "many"}}, "max_workers"),
        ({"": InlineExecutor()}, "name"),
        ({5: InlineExecutor()}, "name"),
        ([InlineExecutor()], "mapping"),
        (5, "mapping"),
    ],
    ids=case,
)
def test_what_is_no_executor_is_refused(executors, named):
    with pytest.raises(InvalidOptionError, match=named):
        Scheduler(timezone="UTC", executors=executors)


def test_an_executor_without_one_of_its_methods_is_told_which():
    with pytest.raises(InvalidOptionError, match=r"has no abandon\(\)"):
        Scheduler(executors={"mine": Mock(spec=["submit", "shutdown"])})


def test_tables_and_pools_are_understood_as_in_settings():
    with ThreadPoolExecutor(1) as pool:
        scheduler = Scheduler(
            timezone="UTC",
            executors={
                "default": {"type": "threadpool", "max_workers": 3},
                "plain": {},
                "processes": {"type": "processpool", "max_workers": 1},
                "pool": pool,
            },
        )
        for name in ("default", "plain", "processes", "pool"):
            scheduler.add_job(top_level, executor=name)
        scheduler.add_job(local(), executor="pool")


def test_celery_apps_and_tables_of_celery_are_understood():
    celery = pytest.importorskip("celery", reason="Celery is not installed")
    app = celery.Celery("shop", set_as_current=False, broker="memory://")
    url = "redis://:secret@127.0.0.1:1/0"
    for what in (
        app,
        {"type": "celery", "broker": url, "backend": url, "queue": "slow", "max_workers": 3},
        {"type": "celery", "app": app},
        {"type": "celery", "app": "schedcore.celery_worker"},
        {"type": "celery", "app": "schedcore.celery_worker:app", "max_workers": 3},
    ):
        Scheduler(executors={"far": what}, store="sqlite:///never-opened.db")
    for table, named in (
        ({"backend": url}, r"executors\['far'\].broker=None"),
        ({"broker": url, "app": app}, r"executors\['far'\].broker='redis://:\*\*\*@"),
        ({"app": app, "backend": url}, r"executors\['far'\].backend='redis://:\*\*\*@"),
        ({"app": "nowhere.at:all"}, r"app='nowhere.at:all'.*no module|No module"),
        ({"app": "schedcore.celery_worker:annotations"}, "app='schedcore"),
        ({"app": 5}, "app=5"),
        ({"broker": url, "backend": 5}, "backend=5"),
        ({"broker": url, "max_workers": 0}, r"executors\['far'\].max_workers=0"),
        ({"broker": f"{url}?password=secret", "concurrency": 3}, r"redis://:\*\*\*@.*word=\*\*\*"),
    ):
        with pytest.raises(InvalidOptionError, match=named):
            Scheduler(executors={"far": {"type": "celery", **table}})


CAN_NEVER_RUN = [
    lambda: None,
    local(),
    functools.partial(lambda: None),
    functools.partial(functools.partial(local())),
    local_class()(),
    local_class()().method,
    local_class().of_class,
    local_class(),
]


@pytest.mark.parametrize("func", CAN_NEVER_RUN, ids=lambda func: type(func).__name__)
def test_a_process_pool_takes_no_function_that_it_can_never_find(func):
    with ProcessPoolExecutor(1) as pool:  # starts no process before it is given something
        scheduler = Scheduler(timezone="UTC", executors={"processes": FuturesAdapter(pool)})
        with pytest.raises(InvalidOptionError, match="top level of a module"):
            scheduler.add_job(func, executor="processes")
        job = scheduler.add_job(func, "interval", hours=1)
        with pytest.raises(InvalidOptionError, match="top level of a module"):
            job.modify(executor="processes")
        other = scheduler.add_job(top_level, "interval", hours=1, executor="processes")
        with pytest.raises(InvalidOptionError, match="top level of a module"):
            other.modify(func=func)
        assert (job.executor, other.func) == ("default", top_level)


@pytest.mark.parametrize(
    "func",
    [
        top_level,
        functools.partial(top_level, 1),
        TopLevel,
        TopLevel(),
        TopLevel().method,
        TopLevel.of_class,
        print,
        f"{__name__}:top_level",
        local_class_that_pickles_itself()(),
    ],
)
def test_it_takes_all_others(func):
    with ProcessPoolExecutor(1) as pool:
        scheduler = Scheduler(timezone="UTC", executors={"processes": pool})
        scheduler.add_job(func, executor="processes")


def test_it_takes_a_function_that_is_decorated_and_so_has_its_name_later():
    with ProcessPoolExecutor(1) as pool:
        scheduler = Scheduler(timezone="UTC", executors={"default": pool})
        names = {"scheduler": scheduler, "__name__": "__main__"}
        exec("@scheduler.task('interval', hours=1, id='x')\ndef job(): pass", names)
        assert scheduler.get_job("x").func is names["job"]


def test_of_other_pools_it_is_not_known_what_they_can_carry():
    class Carrying(ThreadPoolExecutor):
        pass

    with Carrying(1) as pool:
        adapter = FuturesAdapter(pool, remote=True)
        scheduler = Scheduler(timezone="UTC", executors={"default": adapter})
        scheduler.add_job(lambda: None)
