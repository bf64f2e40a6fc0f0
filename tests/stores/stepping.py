"""A scheduler stepped by hand, and an executor whose runs begin and end when they are told."""

from __future__ import annotations

from schedcore import ManualClock, Scheduler
from schedcore.clock import from_us

called: list[str] = []


def note(name="job"):
    called.append(name)
    return name


class ByHand:
    """An executor that holds its runs until the test lets them begin, and end."""

    def __init__(self):
        self.waiting, self.under_way, self.abandoned = [], [], []

    def submit(self, runs, reporter):
        self.reporter = reporter
        self.waiting += runs

    def begin(self):
        run = self.waiting.pop(0)
        if self.reporter.begin(run):
            self.under_way.append(run)
        return run

    def end(self, value=None, error=None):
        self.reporter.end(self.under_way.pop(0), value, error)
        self.reporter.settle()

    def run(self, error=None):
        run = self.begin()
        self.end(error=error)
        return run

    def abandon(self, run):
        self.abandoned.append(run)

    def shutdown(self, timeout):
        pass


class Stepped:
    """A scheduler that is stepped by hand, in virtual time; due times in seconds."""

    def __init__(self, store, executor):
        self.clock = ManualClock()
        self.hand = executor
        self.scheduler = Scheduler(
            store=store, clock=self.clock, timezone="UTC", executors={"default": executor}
        )
        self.engine = self.scheduler._engine
        self.start_us = self.clock.now_us()

    def add(self, every=10, **options):
        start = self.at(every)
        self.scheduler.add_job(
            note, "interval", seconds=every, start_date=start, id="job", **options
        )

    def at(self, seconds):
        return from_us(self.start_us + round(seconds * 1e6))

    def step(self, seconds=0):
        """Move on, and do all that is due."""
        self.clock.advance(seconds)
        for _ in range(100):
            until_us = self.engine.step(self.clock.now_us())
            if until_us is None or until_us > self.clock.now_us():
                return until_us and (until_us - self.start_us) / 1e6
        raise AssertionError("it does not come to rest")

    def due(self, runs):
        return [(run.due_us - self.start_us) / 1e6 for run in runs]

    def history(self):
        return [
            (record.outcome.value, (record.scheduled_us - self.start_us) / 1e6)
            for record in reversed(self.scheduler.history("job"))
        ]

    def counts(self):
        return {outcome.value: n for outcome, n in self.scheduler.counts("job").items()}
