"""Actions of forms on jobs, runs and the scheduler; each reports what it did, with an undo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from schedhttp.dashboard.api_calls import Refused
from schedhttp.dashboard.texts import address, as_json, clock_text, counted, in_zone
from schedhttp.dashboard.visit import Page, Redirect, Undo, Visit, own_path
from schedhttp.errors import BadRequest
from schedhttp.request import decode

_DONE: Final = {"pause": "paused", "resume": "resumed", "run": "begun", "remove": "removed"}
_ENDPOINTS: Final = {
    "pause": "pause_jobs",
    "resume": "resume_jobs",
    "run": "run_jobs",
    "remove": "delete_jobs",
}
_BACK: Final = {"pause": "resume", "resume": "pause"}
_REMEMBERED: Final = 3
"""Maximum number of removed jobs whose definitions fit into a cookie, to be added again."""
_WORDS: Final = {"pause": "Pause", "resume": "Resume", "run": "Run now", "remove": "Remove"}


# One job


def run_job(visit: Visit) -> Redirect:
    """Run a job now, optionally with other arguments, and show the run."""
    job_id = visit.form.get("id", "")
    body: dict[str, Any] = {"wait": False}
    for name in ("args", "kwargs"):
        if text := visit.form.get(name, "").strip():
            body[name] = read_json(name, text)
    key = visit.form.get("key")
    headers = {"HTTP_IDEMPOTENCY_KEY": key} if key else {}  # two clicks start one run
    answer = visit.api("run_job", {"job_id": job_id}, body=body, headers=headers)
    run_id = answer.headers["X-Run-Id"]
    return Redirect(address("/run", {"id": run_id}), f"A run of {job_id} was started.")


def pause_job(visit: Visit) -> Redirect:
    """Stop scheduling a job."""
    return _one(visit, "pause")


def resume_job(visit: Visit) -> Redirect:
    """Schedule a paused job again."""
    return _one(visit, "resume")


def remove_job(visit: Visit) -> Page | Redirect:
    """Remove a job after a confirmation."""
    job_id = visit.form.get("id", "")
    job = visit.api("get_job", {"job_id": job_id})
    if not visit.form.get("confirm"):
        runs = visit.api("get_job_runs", {"job_id": job_id}, {"state": "open", "limit": 1}).json
        left = "Its active run continues." if runs else ""
        fields = {"id": job_id, "confirm": 1}
        return _question(visit, f"Remove {job_id}?", "Remove", fields, detail=left)
    visit.api("delete_job", {"job_id": job_id})
    undo = _adding_again(visit, [job.json], "Add it again")
    return Redirect("/jobs", f"{job_id} was removed; its outcomes stay in the ledger.", undo)


def _adding_again(visit: Visit, jobs: list[Any], label: str) -> Undo | None:
    """Return the undo that adds removed jobs again; None: they cannot be restored as they were."""
    # Hidden values, and those shown as a repr, are lost.
    if visit.scheduler.redact is not None or any(job.get("shown_as_repr") for job in jobs):
        return None
    return label, "/job/add", {"definition": as_json(jobs[0] if len(jobs) == 1 else jobs)}


def add_job(visit: Visit) -> Redirect:
    """Add a job, or an array of jobs, from JSON."""
    definition = read_json("definition", visit.form.get("definition", ""))
    job = visit.api("add_job", body=definition, headers={"HTTP_IF_NONE_MATCH": "*"}).json
    if isinstance(job, list):
        return Redirect("/jobs", f"{counted(len(job), 'job')} {_were(len(job))} added.")
    return Redirect(address("/job", {"id": job["id"]}), f"{job['id']} was added.")


def change_job(visit: Visit) -> Redirect:
    """Restore earlier values of a job's fields."""
    job_id = visit.form.get("id", "")
    changes = read_json("changes", visit.form.get("changes", ""))
    match = {"HTTP_IF_MATCH": visit.form.get("etag", "")}
    visit.api("update_job", {"job_id": job_id}, body=changes, headers=match)
    return Redirect(address("/job", {"id": job_id}), f"{job_id} was restored.")


def backfill_job(visit: Visit) -> Page | Redirect:
    """Run a job for past due times, after a confirmation that shows their number."""
    form = visit.form
    job_id, again = form.get("id", ""), bool(form.get("again"))
    zone = visit.tz(visit.api("get_job", {"job_id": job_id}).json.get("timezone"))
    body: dict[str, Any] = {"again": again}
    for name in ("since", "until"):
        if text := form.get(name, "").strip():
            body[name] = in_zone(text, zone)
    confirm = form.get("confirm", "")
    job = {"job_id": job_id}
    try:
        done = visit.api("backfill_job", job, {"confirm": confirm}, body).json
    except Refused as error:
        found = error.answer.json
        if error.error_type != "NotConfirmed":
            raise
        if not found["count"]:
            where = address("/job", {"id": job_id})
            return Redirect(
                where, f"{job_id} has no due times in this range that were not executed."
            )
        return _ask_to_backfill(visit, body, found, again=again, anew=bool(confirm))
    text = f"{counted(done['count'], 'run')} of {job_id} for past due times."
    return Redirect(address("/job", {"id": job_id}), text)


def _ask_to_backfill(
    visit: Visit, body: Mapping[str, Any], found: Mapping[str, Any], again: bool, anew: bool
) -> Page:
    job_id, times = visit.form.get("id", ""), counted(found["count"], "due time")
    job = visit.api("get_job", {"job_id": job_id}).json
    first, last = (
        clock_text(found[name], visit.tz(job.get("timezone"))) for name in ("first", "last")
    )
    detail = f"From {first} to {last}, at most {counted(job['max_instances'], 'run')} at once."
    if anew:
        detail = f"There are others by now. {detail}"
    fields = {**body, "id": job_id, "again": "1" if again else "", "confirm": found["count"]}
    text = f"Run {job_id} for {times} that passed?"
    return _question(visit, text, f"Run {times}", fields, detail=detail)


def _one(visit: Visit, verb: str) -> Redirect:
    job_id = visit.form.get("id", "")
    # The endpoint for many jobs says whether the job was changed.
    done = visit.api(_ENDPOINTS[verb], query={"id": [job_id], "confirm": 1}).json
    where, back = address("/job", {"id": job_id}), _BACK[verb]
    if not done["ids"]:
        return Redirect(where, f"{job_id} was not {_DONE[back]} before; nothing was done.")
    undo = (_WORDS[back], f"/job/{back}", {"id": job_id})
    return Redirect(where, f"{job_id} was {_DONE[verb]}.", undo)


# Many jobs


def change_jobs(visit: Visit) -> Page | Redirect:
    """Change many jobs: those that were selected, or all of a filter.

    The API itself asks to confirm their number.
    """
    verb = visit.form.get("do", "")
    if verb not in _ENDPOINTS:
        raise BadRequest(f"do={verb[:80]!r}: expected one of {', '.join(_ENDPOINTS)}")
    selection = _selection(visit)
    confirm = visit.form.get("confirm", "")
    gone = _few(visit, selection) if verb == "remove" and confirm else []
    try:
        done = visit.api(_ENDPOINTS[verb], query={**selection, "confirm": confirm}).json
    except Refused as error:
        if error.error_type != "NotConfirmed" or not error.answer.json.get("count"):
            raise
        return _ask_how_many(visit, verb, selection, error.answer.json, bool(confirm))
    message = f"{counted(done['count'], 'job')} {_were(done['count'])} {_DONE[verb]}."
    if refused := done.get("refused"):
        job_id, why = next(iter(refused.items()))
        message += f" {len(refused)} could not be run: {job_id}: {why}"
    undo: Undo | None = None
    if verb in _BACK and done["ids"]:
        fields = {"do": _BACK[verb], "id": done["ids"], "confirm": done["count"]}
        undo = (_WORDS[_BACK[verb]], "/jobs/change", {**fields, "which": "chosen"})
    elif gone and len(gone) == done["count"]:
        undo = _adding_again(visit, gone, "Add them again")
    return Redirect(own_path(visit.form.get("to", "/jobs")), message, undo)


def _few(visit: Visit, selection: Mapping[str, Any]) -> list[Any]:
    """Return the selected jobs, if they are few enough for a cookie."""
    which = {name: value for name, value in selection.items() if name != "all"}
    found = visit.api("get_jobs", query={**which, "limit": _REMEMBERED + 1}).json
    return found if len(found) <= _REMEMBERED else []


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _selection(visit: Visit) -> dict[str, Any]:
    """Return the query that selects the jobs."""
    form = visit.form
    if form.get("which") == "filter":
        given = {name: form.get(name) for name in ("q", "tag", "state") if form.get(name)}
        return given or {"all": "true"}
    if ids := form.getlist("id"):
        return {"id": ids}
    raise BadRequest("no job was chosen: tick some, or choose all that match the filter")


def _ask_how_many(
    visit: Visit, verb: str, selection: Mapping[str, Any], found: Mapping[str, Any], again: bool
) -> Page:
    count, ids = found["count"], found["ids"]
    which = "filter" if "id" not in selection else "chosen"
    given = {k: v for k, v in selection.items() if k != "all"}
    fields = {**given, "which": which, "do": verb, "confirm": count}
    fields["to"] = visit.form.get("to", "/jobs")
    jobs = counted(count, "job")
    detail = "There are other jobs by now." if again else ""
    return _question(
        visit,
        f"{_WORDS[verb]}: {jobs}?",
        f"{_WORDS[verb]} {jobs}",
        fields,
        ids,
        count - len(ids),
        detail,
    )


# Runs, and the scheduler


def cancel_run(visit: Visit) -> Redirect:
    """Cancel a run."""
    run_id = visit.form.get("run", "")
    run = visit.api("cancel_run", {"run_id": run_id}).json
    to = visit.form.get("to") or address("/run", {"id": run_id})
    job_id = run["job_id"]
    is_there = visit.scheduler.get_job(job_id) is not None
    undo = ("Run it again", "/job/run", {"id": job_id, "key": visit.key}) if is_there else None
    return Redirect(own_path(to), f"The run of {job_id} was cancelled.", undo)


def start_scheduler(visit: Visit) -> Redirect:
    """Start the scheduler in all processes on its store."""
    visit.api("start_scheduler")
    return Redirect("/system", "The scheduler was started.")


def pause_scheduler(visit: Visit) -> Redirect:
    """Start no more runs."""
    visit.api("pause_scheduler")
    undo: Undo = ("Resume", "/system/resume", {})
    return Redirect("/", "No run is started until the scheduler is resumed.", undo)


def resume_scheduler(visit: Visit) -> Redirect:
    """Resume after a pause."""
    visit.api("resume_scheduler")
    return Redirect("/", "The scheduler was resumed.")


def stop_scheduler(visit: Visit) -> Page | Redirect:
    """Stop the scheduler after a confirmation, without waiting for active runs."""
    if not visit.form.get("confirm"):
        detail = "It stops in all processes on its store. Active runs continue."
        return _question(visit, "Stop the scheduler?", "Stop", {"confirm": 1}, detail=detail)
    visit.api("shutdown_scheduler", body={"wait": False})
    return Redirect("/system", "The scheduler was stopped.", ("Start", "/system/start", {}))


def _question(
    visit: Visit,
    text: str,
    button: str,
    fields: Mapping[str, Any],
    ids: list[str] | None = None,
    more: int = 0,
    detail: str = "",
) -> Page:
    """Return the page that asks for a confirmation."""
    visit.visitor.role.check_may_change()
    values = {"text": text, "button": button, "fields": fields, "action": visit.path}
    values["detail"] = detail
    return Page("question.html", {**values, "ids": ids or [], "more": more})


def read_json(name: str, text: str) -> Any:
    """Parse the JSON in a form's field.

    Raises:
        BadRequest: if it is not JSON.
    """
    try:
        return decode(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"{name}: {text[:80]!r} is not JSON: {error}") from None
