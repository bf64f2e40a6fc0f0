"""What can be a job: each callable is judged as its caller sees it."""

from __future__ import annotations

import functools
from unittest.mock import AsyncMock, MagicMock, Mock, create_autospec

import pytest

from schedcore import InvalidOptionError, Outcome, Scheduler, simulate
from schedcore.basics.funcref import name_of


def plain(x, y=0):
    return x


async def coroutine(x):
    return x


def generator():
    yield 1


async def asynchronous_generator():
    yield 1


def wrapped_with_prefix(inner):
    @functools.wraps(inner)
    def outer(prefix, x):
        return prefix + str(inner(x))

    return outer


def wrapped_with_anything(inner):
    @functools.wraps(inner)
    def outer(*args, **kwargs):
        return inner(*args, **kwargs)

    return outer


class Caller:
    def __init__(self, first=1):
        self.first = first

    def __call__(self, x):
        return x

    def method(self, x):
        return x

    passed_on = wrapped_with_anything(plain)

    @classmethod
    def of_class(cls, x):
        return x

    @staticmethod
    def static(x):
        return x

    def generate(self):
        yield 1

    async def generate_async(self):
        yield 1

    @classmethod
    def generate_of_class(cls):
        yield 1

    @staticmethod
    def generate_static():
        yield 1


class Generating:
    def __call__(self):
        yield 1


class GeneratingStatic:
    @staticmethod
    def __call__():
        yield 1


class Awaiting:
    async def __call__(self, x):
        return x


class Answering:
    """Each attribute that it is asked for is another one of its kind."""

    def __getattr__(self, name):
        return Answering()

    def __call__(self, x=None):
        return x


class Raising:
    """Raises where it is asked for an attribute, or compared."""

    def __getattr__(self, name):
        raise RuntimeError("ask me not")

    def __eq__(self, other):
        raise RuntimeError("compare me not")

    __hash__ = object.__hash__

    def __call__(self, x=None):
        return x


class Nameless:
    def __getattribute__(self, name):
        raise RuntimeError("ask me not")

    def __call__(self, x=None):
        return x


@pytest.mark.parametrize(
    ("func", "args", "kwargs"),
    [
        (plain, (1,), {}),
        (wrapped_with_prefix(plain), (), {"prefix": "n", "x": 2}),
        (wrapped_with_anything(coroutine), (2,), {}),
        (functools.partial(wrapped_with_prefix(plain), "n"), (2,), {}),
        (functools.partial(plain, 1), (), {}),
        (functools.lru_cache(plain), (1, 2), {}),
        (wrapped_with_anything(plain), (1, 2), {}),
        (Caller, (), {}),
        (Caller(), (1,), {}),
        (Caller().method, (1,), {}),
        (Caller().passed_on, (), {}),
        (Caller.of_class, (1,), {}),
        (Caller.static, (1,), {}),
        (Awaiting(), (1,), {}),
        (functools.partial(Awaiting(), 1), (), {}),
        (print, (1, 2), {"sep": ""}),
        (len, ([],), {}),
        (int, ("5",), {"base": 8}),
        (dict, (), {"a": 1}),
        (Mock(spec=plain), (1,), {}),
        (create_autospec(plain), (1,), {}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_can_be_called_so_is_accepted(virtual_scheduler, func, args, kwargs):
    job = virtual_scheduler.add_job(func, args=args, kwargs=kwargs)
    assert job.name
    assert job.func_ref is None or isinstance(job.func_ref, str)
    assert simulate(virtual_scheduler, _a_second()) == {Outcome.EXECUTED: 1}


def _a_second():
    from datetime import timedelta

    return timedelta(seconds=1)


@pytest.mark.parametrize(
    ("func", "args"),
    [
        (plain, ()),
        (plain, (1, 2, 3)),
        (wrapped_with_prefix(plain), (1,)),
        (functools.partial(wrapped_with_prefix(plain), "n"), ()),
        (functools.lru_cache(plain), (1, 2, 3)),
        (Caller, (1, 2)),
        (Caller(), ()),
        (Caller().method, ()),
        (Caller.of_class, (1, 2)),
        (Awaiting(), ()),
        (create_autospec(plain), ()),
        (coroutine, ()),
    ],
)
def test_what_cannot_be_called_so_is_refused_when_added_and_when_changed(
    virtual_scheduler, func, args
):
    with pytest.raises(InvalidOptionError, match=r"what .* takes"):
        virtual_scheduler.add_job(func, args=args)
    job = virtual_scheduler.add_job(lambda *_: None, "interval", hours=1)
    with pytest.raises(InvalidOptionError, match=r"what .* takes"):
        job.modify(func=func, args=args)


GENERATORS = [
    generator,
    asynchronous_generator,
    functools.partial(generator),
    functools.partial(functools.partial(asynchronous_generator)),
    functools.wraps(plain)(generator),
    Caller().generate,
    Caller().generate_async,
    Caller.generate_of_class,
    Caller.generate_static,
    Generating(),
    GeneratingStatic(),
    functools.partial(Generating()),
    Generating().__call__,
    lambda: (yield),
]


@pytest.mark.parametrize("func", GENERATORS, ids=name_of)
def test_a_generator_function_is_refused_and_told_what_to_do(virtual_scheduler, func):
    scheduler = virtual_scheduler
    for add in (
        lambda: scheduler.add_job(func),
        lambda: scheduler.add_jobs([{"func": func, "trigger": "interval", "hours": 1}]),
        lambda: scheduler.draft_job(func),
    ):
        with pytest.raises(InvalidOptionError, match="iterate over it in a plain function"):
            add()
    job = scheduler.add_job(plain, "interval", hours=1, args=[1])
    with pytest.raises(InvalidOptionError, match="iterate over it in a plain function"):
        job.modify(func=func, args=[])
    assert len(scheduler.get_jobs()) == 1


@pytest.mark.parametrize("name", ["generator", "asynchronous_generator", "Caller.generate_static"])
def test_so_is_one_that_is_named_or_decorated(virtual_scheduler, name):
    with pytest.raises(InvalidOptionError, match="generator function"):
        virtual_scheduler.add_job(f"{__name__}:{name}")
    with pytest.raises(InvalidOptionError, match="generator function"):
        virtual_scheduler.task("interval", hours=1)(generator)
    assert virtual_scheduler.registered == {}


@pytest.mark.parametrize("inner", [generator, asynchronous_generator])
def test_a_wrapper_that_returns_a_generator_fails_and_one_that_uses_it_does_not(
    virtual_scheduler, inner
):
    @functools.wraps(generator)
    def uses():
        return list(generator())

    virtual_scheduler.add_job(wrapped_with_anything(inner), id="returns")
    virtual_scheduler.add_job(uses, id="uses")
    simulate(virtual_scheduler, _a_second())
    (returned,) = virtual_scheduler.history("returns")
    assert returned.outcome is Outcome.FAILED
    assert "iterate over it" in returned.error_text
    assert virtual_scheduler.counts("uses") == {Outcome.EXECUTED: 1}


@pytest.mark.parametrize("func", [coroutine, Awaiting(), functools.partial(coroutine)])
def test_what_gives_a_coroutine_goes_to_the_event_loop(func):
    scheduler = Scheduler(timezone="UTC")
    assert scheduler.add_job(func, args=[1]).executor == "coroutines"
    assert scheduler.add_job(AsyncMock(), args=[1]).executor == "coroutines"


def test_what_does_not_stays_with_the_threads():
    scheduler = Scheduler(timezone="UTC")
    job = scheduler.add_job(wrapped_with_prefix(coroutine), args=["n", 1])
    assert job.executor == "default"


@pytest.mark.parametrize("kind", [Mock, MagicMock, AsyncMock, Answering, Raising, Nameless])
def test_any_object_is_a_job_has_a_name_and_no_made_up_reference(virtual_scheduler, kind):
    for func in (kind(), functools.partial(kind(), 1)):
        job = virtual_scheduler.add_job(func)
        assert (job.name, job.func_ref) == (kind.__name__, None)
        assert job.executor == ("coroutines" if kind is AsyncMock else "default")
    simulate(virtual_scheduler, _a_second())
    assert virtual_scheduler.counts() == {Outcome.EXECUTED: 2}


def test_the_children_of_a_mock_are_jobs_too(virtual_scheduler):
    mock = Mock()
    virtual_scheduler.add_job(mock.any.child, args=[1], kwargs={"a": 2})
    simulate(virtual_scheduler, _a_second())
    mock.any.child.assert_called_once_with(1, a=2)
