"""What every store promises of what runs print."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from schedcore import Outcome, StoreUnavailableError
from schedcore.history.query import RunQuery
from schedcore.output.text import Capture, Kept, keep, printed
from schedcore.stores.ends import end_of
from schedcore.stores.sql_checks import broken_rules
from schedcore.stores.sql_history import Retention
from schedcore.stores.sql_nodes import report_runs, trim
from schedcore.stores.sqlite import SqliteStore
from tests.stores.calls import (
    add,
    after_commit,
    begun,
    changed,
    end,
    entry,
    report_after_commit,
    settle,
)
from tests.stores.postgres import beside, postgres_store


def text(string):
    return Kept(string, "", len(string))


def printing(run, *texts, redact=None):
    """Have a run print, as one that captures does."""
    if run._output is None:
        run._output = Capture(redact)
    for each in texts:
        keep(run, each)
    return run


def one_run(store, job_id="a", due=5, **options):
    add(store, entry(job_id, due, **options))
    (run,) = begun(*settle(store, due, next_us=due + 10).runs)
    return run


def test_what_a_run_printed_is_kept_with_its_end_and_taken_from_it(store):
    run = printing(one_run(store), "one\n", "two\n")
    end(store, run)
    assert store.output(run.id) == text("one\ntwo\n")
    assert run._output is None
    keep(run, "too late")
    assert store.output(run.id) == text("one\ntwo\n")


def test_a_run_that_prints_nothing_and_one_that_is_not_known(store):
    run = printing(one_run(store))
    end(store, run)
    keep(run, "too late")
    assert printed(run) is None
    assert store.output(run.id) == store.output(12345) == Kept()


def test_of_many_ends_at_once_each_keeps_its_own(store):
    add(store, *(entry(f"j{n}", n) for n in range(20)))
    runs = begun(*settle(store, 50).runs)
    for n, run in enumerate(runs):
        printing(run, *[f"{n}"] * (n % 3))
    end(store, *runs)
    assert [store.output(run.id) for run in runs] == [
        text(f"{n}" * (n % 3)) for n in range(len(runs))
    ]


def test_what_was_printed_before_others_is_kept_of_a_run_that_was_cancelled_for_another(store):
    run = printing(one_run(store, overlap="cancel"), "begun")
    settle(store, 15, next_us=25)
    assert run.outcome is Outcome.CANCELLED
    assert store.output(run.id) == text("begun")
    assert run._output is None


def test_of_a_run_that_ends_twice_at_once_the_first_end_counts(store):
    run = printing(one_run(store), "begun")
    end(store, run, run)
    assert [record.outcome for record in store.records()] == [Outcome.EXECUTED]
    assert store.output(run.id) == text("begun")


def test_attempts_follow_each_other(store):
    run = printing(one_run(store), "one ")
    assert store.retry(end_of(run, Outcome.FAILED, 30, error=ValueError()), 0)
    assert store.output(run.id) == text("one ")
    printing(*begun(*store.try_again([run])), "two")
    end(store, run)
    assert store.output(run.id) == text("one two")


def test_what_is_no_text_for_databases_is_kept_in_escapes(store):
    run = printing(one_run(store), "\x00\ud800é")
    end(store, run)
    assert store.output(run.id) == text("\\x00\\ud800é")


def test_a_job_that_is_gone_leaves_its_output(store):
    run = printing(one_run(store), "last words")
    changed(store, "a", due_us=None)
    end(store, run)
    assert store.output(run.id) == text("last words")


# Stores over SQL


@pytest.fixture(params=["sqlite", "postgresql"])
def make(request, tmp_path):
    """Make one store, and others on the same database."""
    made = []

    def make(**options):
        if request.param == "sqlite":
            made.append(SqliteStore(tmp_path / "jobs.db", durable=False, **options))
        else:
            made.append(beside(made[0]) if made else postgres_store(**options))
        return made[-1]

    yield make
    for store in made:
        store.close()


def test_others_see_what_was_printed_once_that_is_saved(make):
    store, other = make(), make()
    run = printing(one_run(store), "first ")
    assert other.output(run.id) == Kept()
    store.outputs.save([run])
    assert other.output(run.id) == text("first ")
    printing(run, "second")
    store.outputs.save([run])
    store.outputs.save([run])
    assert other.output(run.id) == text("first second")
    end(store, run)
    assert other.output(run.id) == text("first second")


def test_output_that_cannot_be_written_holds_up_no_run_that_replaces_its_own(
    make, monkeypatch, caplog
):
    store = make()
    run = printing(one_run(store, overlap="cancel"), "begun")

    def fail(_runs):
        raise StoreUnavailableError("it", "the disk is full")

    monkeypatch.setattr(store.outputs, "save", fail)
    settled = settle(store, 15, next_us=25)
    assert [one.due_us for one in settled.runs] == [15]
    assert run.outcome is Outcome.CANCELLED
    assert store.runs() == settled.runs
    assert len(caplog.messages) == 1


def beginnings(store):
    return [(run.attempt, run.started_us) for run in store.runs()]


def test_others_see_when_each_attempt_began(make):
    store, other = make(), make()
    run = one_run(store)
    report_runs(store, 10**7)
    assert beginnings(other) == [(1, 20)]
    assert store.retry(end_of(run, Outcome.FAILED, 30, error=ValueError()), 0)
    assert beginnings(other) == [(2, None)]
    begun(*store.try_again([run]), at=40)
    report_runs(store, 10**7)
    assert beginnings(other) == [(2, 40)]


def test_a_beginning_that_could_not_be_written_is_written_later(make, monkeypatch):
    store, other = make(), make()
    one_run(store)
    write = store.database.write

    @contextmanager
    def failing():
        with write() as tx:
            yield tx
            raise ZeroDivisionError

    with monkeypatch.context() as during:
        during.setattr(store.database, "write", failing)
        with pytest.raises(ZeroDivisionError):
            report_runs(store, 10**7)
    assert beginnings(other) == [(1, None)]
    report_runs(store, 10**7)
    assert beginnings(other) == [(1, 20)]


def test_a_retry_is_counted_once_if_runs_are_listed_meanwhile(make, monkeypatch):
    store = make()
    run = one_run(store)
    after_commit(store, monkeypatch, store.runs)
    assert store.retry(end_of(run, Outcome.FAILED, 30, error=ValueError()), 0)
    assert run.attempt == 2


def test_a_beginning_that_is_written_late_is_none_of_the_next_attempt(make, monkeypatch):
    store, other = make(), make()
    run = one_run(store)
    report_after_commit(store, monkeypatch)
    assert store.retry(end_of(run, Outcome.FAILED, 30, error=ValueError()), 0)
    assert beginnings(other) == [(2, None)]


def test_what_is_saved_late_takes_no_place(make):
    store = make()
    run = printing(one_run(store), "first ")
    late = store.outputs.unsaved([run])
    printing(run, "second")
    end(store, run)
    with store.database.write() as tx:
        store.outputs.write(tx, late)
    assert store.output(run.id) == text("first second")


def test_an_attempt_elsewhere_follows_what_was_saved(make):
    store, other = make(), make()
    run = printing(one_run(store), "one\n")
    assert store.retry(end_of(run, Outcome.FAILED, 30, error=ValueError()), 0)
    (again,) = begun(*other.try_again(other.runs()))
    printing(again, "two\n")
    other.outputs.save([again])
    printing(again, "three\n")
    end(other, again)
    assert store.output(run.id) == text("one\n--- attempt 2 ---\ntwo\nthree\n")


def test_what_could_not_be_written_is_written_with_the_end(make):
    store = make()
    run = printing(one_run(store), "kept")

    def write_and_fail():
        with store.database.write() as tx:
            store.outputs.write(tx, store.outputs.unsaved([run]))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    assert store.output(run.id) == Kept()
    end(store, run)
    assert store.output(run.id) == text("kept")


def test_outputs_go_with_their_outcomes(make):
    store = make(keep=Retention(per_job=2))
    runs = [printing(one_run(store, "a", 5), "0")]
    end(store, runs[0])
    for n in range(1, 5):
        runs += begun(*settle(store, 5 + 10 * n, next_us=15 + 10 * n).runs)
        end(store, printing(runs[-1], str(n)))
    trim(store, 10)
    kept = [bool(store.output(run.id).total) for run in runs]
    assert kept == [False, False, False, True, True]
    with store.database.read() as tx:
        assert broken_rules(tx) == []


@pytest.mark.parametrize("keep", [{"outputs_per_job": 2}, {"outputs": 2}])
def test_fewer_outputs_are_kept_than_outcomes(make, keep):
    store = make(keep=Retention(**keep))
    run = one_run(store)
    for n in range(1, 5):
        end(store, printing(run, "x"))
        (run,) = begun(*settle(store, 5 + 10 * n, next_us=15 + 10 * n).runs)
    trim(store, 10)
    outputs = [store.output(record.run_id).total for record in store.records(RunQuery())]
    assert outputs == [1, 1, 0, 0]


def test_an_output_of_an_unknown_run_does_not_add_up(make):
    store = make()
    with store.database.write() as tx:
        tx.run("insert into schedcore_output values (7, 'a', 1, 'x', '')")
        assert broken_rules(tx) == ["outputs of runs that are not known: 7 (1)"]


def test_secrets_are_not_written(store):
    run = printing(
        one_run(store), "the word is secret", redact=lambda t: t.replace("secret", "*" * 6)
    )
    end(store, run)
    assert store.output(run.id) == text("the word is ******")
