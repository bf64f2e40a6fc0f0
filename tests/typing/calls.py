"""Calls as users write them: all of ``right`` passes a type checker and runs.

Of ``wrong``, each line with an E is refused, and no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from flask import Flask

from schedcore import (
    AndTrigger,
    CronTrigger,
    IntervalTrigger,
    JobDefaults,
    JobHandle,
    JobSpec,
    ManualClock,
    MemoryStore,
    OrTrigger,
    Outcome,
    Retry,
    Scheduler,
    ThreadPool,
    simulate,
)
from schedhttp.flask import APScheduler, FlaskScheduler

UTC = timezone.utc
SUMMER = datetime(2050, 7, 1, tzinfo=UTC)


def report(name: str = "all") -> str:
    return name


def right() -> None:
    defaults: JobDefaults = {"max_instances": 3, "coalesce": False, "misfire_grace_time": None}
    scheduler = Scheduler(
        timezone="Europe/Berlin",
        job_defaults=defaults,
        executors={"default": ThreadPool(2), "slow": ThreadPool(1)},
        store=MemoryStore(),
        clock=ManualClock(),
    )
    Scheduler(timezone=ZoneInfo("UTC"), job_defaults={"overlap": "queue", "retry": 2})

    # Dates
    handle: JobHandle = scheduler.add_job(report)
    scheduler.add_job(report, "date")
    scheduler.add_job(report, None, ["x"])
    scheduler.add_job(report, run_date="2050-01-01 12:00", timezone="UTC")
    scheduler.add_job(report, "date", run_date=SUMMER, timezone=UTC)
    scheduler.add_job(
        func="calendar:month", trigger="date", args=[2050, 1], run_date=date(2050, 1, 1)
    )

    # Intervals
    scheduler.add_job(report, "interval", weeks=1, days=1, hours=1, minutes=1, seconds=0.5)
    scheduler.add_job(report, "interval", ["x"], {}, "interval", "by position", seconds="30")
    scheduler.add_job(report, trigger="interval", seconds=30, start_date=date(2050, 1, 1))
    scheduler.add_job(report, "interval", hours=1, end_date=SUMMER, jitter=2.5, timezone="UTC")

    # Cron and the calendar
    scheduler.add_job(report, "cron", year="2050-2060", month="jan", day="last fri", week=None)
    scheduler.add_job(report, "cron", day_of_week="mon-fri", hour=6, minute="*/5", second=0)
    scheduler.add_job(report, "cron", crontab="0 6 * * mon-fri", start_date="2050-01-01", jitter=3)
    scheduler.add_job(report, "calendarinterval", months=1, hour=6, minute=30, second=0)
    scheduler.add_job(report, "calendarinterval", years=1, weeks=1, days=1, start_date="2050-01-01")

    # Triggers, and their combinations
    daily, hourly = CronTrigger(hour=6), IntervalTrigger(hours=1)
    scheduler.add_job(report, daily, id="made", name="made", max_instances=2)
    scheduler.add_job(report, AndTrigger([daily, OrTrigger([daily, CronTrigger(hour=7)])]))
    scheduler.add_job(report, {"trigger": "cron", "hour": 6})
    scheduler.add_job(report, "or", triggers=[daily, hourly], jitter=1)
    scheduler.add_job(report, "and", triggers=[daily, {"trigger": "cron", "minute": 0}])

    # Options of jobs
    scheduler.add_job(
        report,
        "interval",
        hours=1,
        args=("x",),
        kwargs={},
        id="options",
        name="all of them",
        misfire_grace_time=60,
        coalesce=True,
        max_instances=2,
        next_run_time=SUMMER,
        executor="slow",
        replace_existing=True,
        overlap="cancel",
        timeout=30.5,
        retry=Retry(count=3),
    )
    scheduler.add_job(report, next_run_time=None, misfire_grace_time=None, timeout=None, retry=None)
    scheduler.add_job(report, retry={"count": 2, "delay": 0.5, "on": [OSError, "ValueError"]})
    scheduler.add_job(report, daily, next_run_time="2050-01-01", retry={"on": TimeoutError})

    # Many, as dicts
    scheduler.add_jobs(
        [
            {"func": report, "id": "many date", "next_run_time": date(2050, 1, 1)},
            {"func": report, "trigger": None, "run_date": SUMMER},
            {"func": report, "trigger": "interval", "minutes": 5, "overlap": "skip"},
            {"func": report, "trigger": "cron", "hour": 6, "args": ["x"], "name": "six"},
            {"func": "calendar:calendar", "trigger": "calendarinterval", "days": 2, "args": [2050]},
            {"func": report, "trigger": "or", "triggers": [daily, hourly]},
            {"func": report, "trigger": daily, "max_instances": 2},
        ]
    )
    scheduler.add_jobs({"func": report, "trigger": "interval", "hours": n} for n in range(1, 3))
    many: list[JobSpec] = [{"func": report, "id": "many", "kwargs": {"name": "x"}}]
    scheduler.add_jobs(many, replace_existing=True)

    # Drafts, which are not stored
    assert (
        scheduler.draft_job(report, "interval", minutes=5, max_instances=2).job.max_instances == 2
    )
    scheduler.draft_job(report, "cron", ["x"], hour=6)
    scheduler.draft_job(report, daily, name="draft")
    scheduler.draft_job(report, "calendarinterval", days=1)
    scheduler.draft_job(report, "or", triggers=[daily])
    scheduler.draft_job(report, run_date=SUMMER)

    # Decorators leave the function as it is
    @scheduler.scheduled_job("interval", minutes=5, id="decorated", args=["x"], max_instances=2)
    def decorated(name: str) -> int:
        return len(name)

    number: int = decorated("x")

    @scheduler.task("cron", hour=number, replace_existing=True, overlap="queue")
    @scheduler.task("calendarinterval", days=1, name="daily")
    @scheduler.task(daily, kwargs={})
    @scheduler.task("or", triggers=[daily, hourly])
    @scheduler.scheduled_job(run_date="2050-01-01")
    @scheduler.scheduled_job()
    def task() -> None: ...

    unchanged: Callable[[], None] = task

    # Changes
    scheduler.reschedule_job("options", "interval", minutes=1, start_date=SUMMER)
    scheduler.reschedule_job("options", "cron", hour=6)
    scheduler.reschedule_job("options", trigger="calendarinterval", months=1)
    scheduler.reschedule_job("options", "and", triggers=[daily])
    scheduler.reschedule_job("options", daily)
    scheduler.reschedule_job("options", {"trigger": "cron", "hour": 6})
    scheduler.reschedule_job("options", run_date="2050-01-01")
    scheduler.modify_job("options", name="other", max_instances=4, timeout=None, retry=1)
    scheduler.modify_job("options", trigger=daily, next_run_time="2050-01-01", executor="default")
    scheduler.modify_job("options", func=report, args=["x"], kwargs={}, coalesce=False)
    scheduler.modify_job("options", overlap="queue", misfire_grace_time=1.5)
    handle = scheduler.add_job(report, "cron", hour=6)
    handle.modify(max_instances=2).modify(trigger=hourly, name="hourly")
    handle.modify(trigger={"trigger": "cron", "hour": 6}, next_run_time=None)
    handle.reschedule("interval", minutes=1).reschedule("cron", hour=6).reschedule(daily)
    handle.reschedule("calendarinterval", days=1).reschedule("or", triggers=[daily])
    handle.reschedule(run_date=SUMMER).reschedule({"trigger": "cron", "hour": 6})
    told: tuple[str, float | None, Retry | None] = (handle.overlap, handle.timeout, handle.retry)

    unchanged()
    scheduler.remove_all_jobs()
    assert told == ("skip", None, None)
    ended: Mapping[Outcome, int] = simulate(scheduler, timedelta(days=1))
    assert Outcome.FAILED not in ended


def right_in_flask() -> None:
    flask = APScheduler()

    @flask.task("interval", minutes=5, id="task", replace_existing=True)
    @flask.task("calendarinterval", months=1, name="monthly")
    @flask.task("cron", crontab="0 6 * * *")
    @flask.task("and", triggers=[CronTrigger(hour=6)])
    @flask.task(CronTrigger(hour=6), max_instances=2)
    @flask.task(run_date="2050-01-01")
    @flask.task()
    def task() -> None: ...

    unchanged: Callable[[], None] = task
    unchanged()
    app = Flask("calls")
    app.config["TESTING"] = True
    flask.init_app(app)
    flask.add_job("interval", report, trigger="interval", minutes=5, args=["x"])
    flask.add_job(id="cron", func="calendar:calendar", trigger="cron", hour=6, args=[2050])
    flask.add_job("monthly", report, trigger="calendarinterval", months=1, max_instances=2)
    flask.add_job("once", report, run_date=SUMMER, jobstore="default", replace_existing=True)
    flask.add_job("now", report)
    flask.add_job("made", report, trigger=CronTrigger(hour=6), timeout=3)
    flask.add_job("both", report, trigger="or", triggers=[CronTrigger(hour=6)], name="both")
    flask.modify_job("interval", minutes=6, max_instances=3)
    flask.modify_job("interval", trigger="cron", hour=6, func=report, args=[])
    flask.modify_job("cron", "default", hour="6-8", next_run_time=SUMMER)
    flask.modify_job("monthly", months=2, trigger="calendarinterval")
    flask.modify_job("made", trigger=CronTrigger(hour=7), name="other")
    flask.modify_job("both", trigger="and", triggers=[CronTrigger(hour=7)])
    flask.modify_job("once", run_date="2050-01-01", trigger="date")


def wrong(scheduler: Scheduler, handle: JobHandle, flask: FlaskScheduler, kind: str) -> None:
    # Options of triggers
    scheduler.add_job(report, "interval", second=30)  # E:
    scheduler.add_job(report, "interval", ["x"], second=30)  # E:
    scheduler.add_job(report, trigger="interval", hour=1)  # E:
    scheduler.add_job(report, "cron", hours=1)  # E:
    scheduler.add_job(report, "cron", weekday="mon")  # E:
    scheduler.add_job(report, "calendarinterval", hours=1)  # E:
    scheduler.add_job(report, "date", date="2050-01-01")  # E:
    scheduler.add_job(report, rundate="2050-01-01")  # E:
    scheduler.add_job(report, seconds=30)  # E:
    scheduler.add_job(report, "and", trigger_list=[])  # E:
    scheduler.add_job(report, CronTrigger(hour=6), hour=6)  # E:
    scheduler.add_job(report, "cron", hour=6.5)  # E:
    scheduler.add_job(report, "cron", hour=["6"])  # E:
    scheduler.add_job(report, "interval", hours=timedelta(hours=1))  # E:
    scheduler.add_job(report, "interval", hours=1, start_date=5)  # E:
    scheduler.add_job(report, "interval", hours=1, timezone=1)  # E:
    scheduler.add_job(report, "or", triggers=["cron"])  # E:

    # Names of triggers
    scheduler.add_job(report, "intervall", seconds=30)  # E:
    scheduler.add_job(report, trigger="crontab", hour=6)  # E:
    scheduler.add_job(report, kind, hour=6)  # E:

    # Options of jobs
    scheduler.add_job(42, "interval", seconds=30)  # E:
    scheduler.add_job(report, "interval", seconds=30, max_instance=3)  # E:
    scheduler.add_job(report, "interval", seconds=30, max_instances="3")  # E:
    scheduler.add_job(report, "cron", hour=6, retries=3)  # E:
    scheduler.add_job(report, "cron", hour=6, retry={"times": 3})  # E:
    scheduler.add_job(report, "cron", hour=6, overlap="replace")  # E:
    scheduler.add_job(report, "cron", hour=6, coalesce="no")  # E:
    scheduler.add_job(report, "date", misfire_grace_time=timedelta(1))  # E:
    scheduler.add_job(report, "date", jobstore="default")  # E:
    scheduler.add_job(report, next_run_time=5)  # E:
    scheduler.add_job(report, CronTrigger(hour=6), max_instance=3)  # E:
    Scheduler(job_defaults={"max_instance": 3})  # E:
    Scheduler(job_defaults={"coalesce": "no"})  # E:
    Scheduler(executors={"default": 10})  # E:

    # Drafts
    scheduler.draft_job(report, "interval", second=30)  # E:
    scheduler.draft_job(report, "intervall", seconds=30)  # E:
    scheduler.draft_job(report, "cron", hour=6, max_instance=3)  # E:

    # Dicts
    scheduler.add_jobs([{"func": report, "trigger": "interval", "second": 30}])  # E:
    scheduler.add_jobs([{"func": report, "trigger": "intervall", "seconds": 30}])  # E:
    scheduler.add_jobs([{"func": report, "trigger": "cron", "hour": 6, "max_instance": 3}])  # E:
    scheduler.add_jobs([{"trigger": "cron", "hour": 6}])  # E:
    scheduler.add_jobs([{"func": report, "seconds": 30}])  # E:

    # Decorators
    @scheduler.scheduled_job("interval", second=30)  # E:
    def one() -> None: ...

    @scheduler.task("intervall", seconds=30)  # E:
    def two() -> None: ...

    @scheduler.task("cron", hour=6, max_instance=3)  # E:
    def three() -> None: ...

    @flask.task("interval", second=30)  # E:
    def four() -> None: ...

    @flask.task("intervall", seconds=30)  # E:
    def five() -> None: ...

    @flask.task("cron", hour=6, max_instance=3)  # E:
    def six() -> None: ...

    # Changes
    scheduler.reschedule_job("x", "interval", second=30)  # E:
    scheduler.reschedule_job("x", "intervall", seconds=30)  # E:
    scheduler.reschedule_job("x", "cron", hour=6, max_instances=3)  # E:
    scheduler.reschedule_job("x", CronTrigger(hour=6), hour=6)  # E:
    scheduler.modify_job("x", max_instance=3)  # E:
    scheduler.modify_job("x", max_instances="3")  # E:
    scheduler.modify_job("x", id="y")  # E:
    scheduler.modify_job("x", trigger="cron")  # E:
    handle.modify(max_instance=3)  # E:
    handle.modify(trigger="cron")  # E:
    handle.reschedule("interval", second=30)  # E:
    handle.reschedule("intervall", seconds=30)  # E:
    handle.reschedule("cron", hour=6, max_instances=3)  # E:

    # Flask
    flask.add_job("x", report, trigger="interval", second=30)  # E:
    flask.add_job("x", report, trigger="intervall", seconds=30)  # E:
    flask.add_job("x", report, trigger="cron", hour=6, max_instance=3)  # E:
    flask.add_job(report, "x", trigger="cron", hour=6)  # E:
    flask.add_job("x", report, seconds=30)  # E:
    flask.modify_job("x", max_instance=3)  # E:
    flask.modify_job("x", trigger="interval", second=30)  # E:
    flask.modify_job("x", trigger="intervall", seconds=30)  # E:
    flask.modify_job("x", hours=1, hour=1)  # E:
