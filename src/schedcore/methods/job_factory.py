"""Builds the entries of new and changed jobs, each a new, validated value."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import tzinfo
from typing import TYPE_CHECKING, Any

from schedcore import triggers
from schedcore.basics.atfork import call_in_child
from schedcore.changes.job_changes import changed
from schedcore.clock import Clock
from schedcore.errors import InvalidOptionError, InvalidTriggerError, did_you_mean
from schedcore.executors import check_executor
from schedcore.executors.base import Executor
from schedcore.job import (
    CHANNEL_OPTIONS,
    COROUTINE_EXECUTOR,
    JOB_FIELDS,
    UNSET,
    Job,
    Options,
    Unset,
    build_options,
    check_args,
    check_id,
    check_kwargs,
    define,
    unknown_option,
)
from schedcore.planning import due_time, first_fire, following
from schedcore.stores.base import Entry, make_entry
from schedcore.triggers.base import Trigger

if TYPE_CHECKING:
    from schedcore.retry import RandomSource

First = int | Unset | None
"""The first run of a job, in microseconds; UNSET: by its trigger; None: it is paused."""
MakeId = Callable[
    [Callable[..., Any] | str, Mapping[str, Any], object, tuple[Any, ...], Mapping[str, Any]], str
]
"""Derives an id from a function, the options of a trigger, a trigger, and the arguments."""


class JobFactory:
    """Builds entries with a scheduler's zone, defaults and executors; stores nothing.

    Args:
        timezone: Zone of triggers and dates that have none.
        executors: By name; a job may only name one of these.
        defaults: Options for jobs that do not set them.
        clock: Gives the moment from which a trigger counts.
        random: Source of jitter.

    Attributes:
        make_id: Makes ids for jobs without one; None: any id will do.
        channels: The names of the channels that jobs may name.
    """

    def __init__(
        self,
        timezone: tzinfo,
        executors: Mapping[str, Executor],
        defaults: Options,
        clock: Clock,
        random: RandomSource,
    ) -> None:
        self._timezone = timezone
        self._zone = triggers.zone_of(timezone)
        self._executors = executors
        self._defaults = defaults
        self._coroutine_defaults = defaults._replace(executor=COROUTINE_EXECUTOR)
        self._clock = clock
        self._random = random
        self.channels: Collection[str] = ()
        self.after_fork_in_child()
        call_in_child(self)

    def after_fork_in_child(self) -> None:
        """Make different ids from the parent."""
        self._prefix = os.urandom(12).hex()
        self._counter = itertools.count(1)
        self.make_id: MakeId | None = None

    def new(
        self,
        func: Callable[..., Any] | str,
        trigger: str | Trigger | Mapping[str, Any] | None,
        trigger_args: Mapping[str, Any],
        job_id: str | None,
        next_run_time: Any,
        options: Mapping[str, Any],
        args: Iterable[Any] | None,
        kwargs: Mapping[str, Any] | None,
        name: str | None,
    ) -> Entry:
        """Return the entry of a new job; see :meth:`Scheduler.add_job`."""
        if job_id is None:
            make_id = self.make_id
            if make_id is None:
                job_id = self._new_id()
            else:
                args, kwargs = check_args(args), check_kwargs(kwargs)  # an iterator is read once
                job_id = make_id(func, trigger_args, trigger, args, kwargs)
        else:
            check_id(job_id)
        kind = "date" if trigger is None else trigger
        try:
            given_trigger = triggers.make_trigger(kind, trigger_args, self._timezone, job_id)
        except InvalidTriggerError:
            if trigger_args:
                _check_names(kind, trigger_args)  # which can say more
            raise
        now_us = self._clock.now_us()
        first = self._first(next_run_time)
        made = _settled(given_trigger, first, now_us)
        job = define(
            job_id, func, made, args, kwargs, name, self._defaults, self._coroutine_defaults
        )
        if options:
            job = job._replace(options=build_options(job.options, options))
        if job.options is not self._defaults:  # checked when the scheduler was made
            self.check_options(job.options)
        self._check_runnable(job)
        return self._place(job, first, now_us)

    def modified(self, entry: Entry, changes: Mapping[str, Any]) -> Entry:
        """Return *entry* with *changes* made; see :meth:`Scheduler.modify_job`."""
        old = entry.job
        wanted = dict(changes)
        first = self._first(wanted.pop("next_run_time", UNSET))
        trigger = old.trigger
        moves = first is not UNSET or "trigger" in wanted
        now_us = self._clock.now_us() if moves else 0
        if "trigger" in wanted:
            trigger = _settled(self._trigger_of(wanted["trigger"], old.id), first, now_us)
        elif isinstance(first, int):
            trigger = trigger.first_at(first, now_us)
        same = trigger is old.trigger or trigger == old.trigger
        if not same:
            wanted["trigger"] = trigger
        else:
            wanted.pop("trigger", None)
        job = changed(old, wanted, self.defaults_of) if wanted else old  # moved: the very same
        if job.options is not old.options:
            self.check_options(job.options, old.options)
        if job is not old:
            self._check_runnable(job)
        if entry.due_us is None:  # paused, and only resume_job() ends that
            fire_us = first if isinstance(first, int) else entry.fire_us
            if first is None:
                fire_us = None
            elif first is UNSET and not same:
                fire_us = _first_fire_again(job.trigger, entry, now_us)
            return make_entry(job, fire_us, None, entry.backlog_us)
        if first is UNSET and same:
            return make_entry(job, entry.fire_us, entry.due_us, entry.backlog_us)
        return self._place(job, first, now_us, entry)

    def _trigger_of(self, trigger: object, job_id: str) -> Trigger:
        """Return a trigger, given as an object or in its plain-data form."""
        if isinstance(trigger, Trigger):
            return trigger
        if isinstance(trigger, Mapping):
            return triggers.make_trigger(trigger, {}, self._timezone, job_id)
        raise InvalidTriggerError(
            "trigger", trigger, "a trigger or its plain-data form; reschedule_job() takes names"
        )

    def resumed(self, entry: Entry) -> Entry:
        """Return *entry* scheduled from now on, if it was paused."""
        if entry.due_us is not None:
            return entry
        now_us = self._clock.now_us()
        if entry.fire_us is not None and entry.fire_us > now_us:
            # Not the first one from now on: that one may have run just before the pause.
            return make_entry(entry.job, entry.fire_us, entry.fire_us, broken=entry.broken)
        return self._place(entry.job, UNSET, now_us, entry)

    def defaults_of(self, coroutine: bool) -> Options:
        """Return the options of jobs that do not set them."""
        return self._coroutine_defaults if coroutine else self._defaults

    def check_options(self, options: Options, had: Options | None = None) -> None:
        """Check that the executor and the channels that options name exist.

        Args:
            options: Those of a job, or the defaults.
            had: The previous options of the job: their channels may belong to another program.

        Raises:
            InvalidOptionError: if one does not exist.
        """
        check_executor(self._executors, options.executor)
        for option in CHANNEL_OPTIONS:
            names, before = getattr(options, option), () if had is None else getattr(had, option)
            if names != before:
                _check_channels(option, {*names}.difference(before), self.channels)

    def _check_runnable(self, job: Job) -> None:
        """Raise InvalidOptionError if the executor of *job* can never execute it.

        The executor loads here what it needs for runs: in the thread that adds the job, and not at
        a fire.
        """
        executor = self._executors.get(job.options.executor)
        check = getattr(executor, "check_job", None)
        if check is not None:
            check(job)
        prepare = getattr(executor, "prepare", None)
        if prepare is not None:
            prepare()

    def _first(self, next_run_time: Any) -> First:
        """Return the first run that the option ``next_run_time`` sets."""
        if next_run_time is UNSET or next_run_time is None:
            return next_run_time
        return triggers.moment_us("next_run_time", next_run_time, self._zone)

    def _place(self, job: Job, first: First, now_us: int, former: Entry | None = None) -> Entry:
        """Return *job* with its place: at the given time, or at the trigger's first fire time.

        Args:
            job: Which job.
            first: Its first run.
            now_us: The present.
            former: The job before the change; None: it is new.
        """
        if not isinstance(first, Unset):
            return make_entry(job, first, first)
        trigger = job.trigger
        if former is None:
            fire_us = first_fire(trigger, now_us)
        else:
            fire_us = _first_fire_again(trigger, former, now_us)
        if fire_us is None:
            raise InvalidTriggerError(
                "trigger", trigger, "a trigger that has a fire time left, now or later"
            )
        jitter_us = trigger.jitter_us
        due_us = due_time(fire_us, jitter_us, self._random) if jitter_us else fire_us
        return make_entry(job, fire_us, due_us)

    def _new_id(self) -> str:
        """Return a unique id: a random part, then a count (0.3 us; uuid4: 4 us)."""
        return f"{self._prefix}{next(self._counter)}"


def _check_channels(option: str, names: Collection[str], known: Collection[str]) -> None:
    """Check that the channels that an option names exist.

    Raises:
        InvalidOptionError: naming those that exist.
    """
    for name in sorted(names):
        if name not in known:
            listed = f"one of the channels {', '.join(sorted(known))}{did_you_mean(name, known)}"
            none = "no channel, since this scheduler has none: Scheduler(notices=...)"
            raise InvalidOptionError(option, name, listed if known else none)


def _settled(trigger: Trigger, first: First, now_us: int) -> Trigger:
    """Return *trigger* bound to the moment at which its job is added."""
    return trigger.first_at(first, now_us) if isinstance(first, int) else trigger.bound_to(now_us)


def _first_fire_again(trigger: Trigger, former: Entry, now_us: int) -> int | None:
    """Return the first fire time of a job that was *former*, or None.

    As :func:`first_fire`, but a date that has passed does not run a second time.
    """
    found = first_fire(trigger, now_us)
    if found is None or found >= now_us or former.fire_us is None or former.fire_us <= found:
        return found  # a date that passed during a pause has not run
    if former.job.trigger.next_us(found - 1) != found:
        return found  # a new date
    return following(trigger, now_us - 1)


def _check_names(kind: Any, trigger_args: Mapping[str, Any]) -> None:
    """Refuse options that the trigger does not have; they may be mistyped options of the job.

    Raises:
        InvalidTriggerError: naming the option that was meant.
    """
    if isinstance(kind, Mapping):
        kind = kind.get("trigger") or kind.get("type")
    if isinstance(kind, Trigger):
        name = next(iter(trigger_args))
        hint = did_you_mean(name, JOB_FIELDS)
        raise InvalidTriggerError(
            name,
            trigger_args[name],
            f"no options beside a trigger: give it to {type(kind).__name__}(...){hint}",
        ) from None
    options = triggers.option_names(kind)
    if not options.issuperset(trigger_args):
        raise unknown_option(trigger_args, kind, options, ("replace_existing",)) from None
