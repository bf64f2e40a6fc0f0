"""The bodies of requests and responses in JSON Schema: jobs, triggers, runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from schedcore import Outcome
from schedcore.job import (
    CHANNEL_OPTIONS,
    DEFAULT_EXECUTOR,
    LONGEST_TAG,
    MAX_ID_LENGTH,
    MOST_CHANNELS,
    MOST_TAGS,
    ON_LOST,
    OVERLAPS,
    Options,
)
from schedcore.retry import LONGEST_DELAY, MAX_COUNT, Retry
from schedcore.triggers.factory import KINDS, kind_names, option_names
from schedhttp.codec import STATES
from schedhttp.job_examples import NEW_JOBS, SHOWN_JOB
from schedhttp.load_shapes import FORECAST, PARTS
from schedhttp.shapes import (
    Json,
    fields_schema,
    obj,
    optional,
    ref,
)
from schedhttp.shown import (
    AUDIT,
    BACKFILLED,
    CHANNEL,
    EVENT,
    HEALTH,
    HOLDER,
    INFO,
    LAST_RUN,
    LAST_RUNS,
    NODE,
    OUTPUT,
    RUN,
    STORE,
)


def described(schema: Json, description: str, *examples: object) -> Json:
    """Return *schema* with words about it."""
    more: Json = {"examples": [*examples]} if examples else {}
    return {**schema, "description": description, **more}


TEXT: Final[Json] = {"type": "string"}
FLAG: Final[Json] = {"type": "boolean"}
COUNT: Final[Json] = {"type": "integer", "minimum": 0}
TIME: Final[Json] = {"type": "string", "format": "date-time"}
JOB_ID: Final[Json] = {"type": "string", "minLength": 1, "maxLength": MAX_ID_LENGTH}
TAG: Final[Json] = {"type": "string", "minLength": 1, "maxLength": LONGEST_TAG}
OUTCOME: Final[Json] = {"type": "string", "enum": [outcome.value for outcome in Outcome]}
_TEXTS: Final[Json] = {"type": "array", "items": TEXT}
MOMENT = "ISO 8601; without an offset it is read in the trigger's timezone"
_UNIT: Final[Json] = {"type": ["number", "string"]}
_FIELD: Final[Json] = {"type": ["integer", "string"]}

_TRIGGER_OPTIONS: Final[dict[str, Json]] = {
    "run_date": described(TEXT, f"When to run: {MOMENT}.  Default: now.", "2030-12-25T10:00:00"),
    "years": described(_UNIT, "Units of calendar time between two fire times."),
    "months": described(_UNIT, "See years."),
    "weeks": described(_UNIT, "Units of the span between two fire times, which add up.", 1),
    "days": described(_UNIT, "See weeks.", 1),
    "hours": described(_UNIT, "See weeks; of elapsed time, fractions allowed.", 1.5),
    "minutes": described(_UNIT, "See hours.", 5),
    "seconds": described(_UNIT, "See hours.", 30),
    "year": described(_FIELD, "1970 to 9999, or an expression: *, */a, a-b, a-b/c, a,b,c."),
    "month": described(_FIELD, "1 to 12, names, or an expression.", "jan-mar"),
    "day": described(_FIELD, "1 to 31, or an expression.", "2nd fri", "last"),
    "week": described(_FIELD, "ISO week, 1 to 53, or an expression."),
    "day_of_week": described(_FIELD, "0 (Monday) to 6, names, or an expression.", "mon-fri"),
    "hour": described(_FIELD, "0 to 23; with cron, or an expression.", 2, "9-17"),
    "minute": described(_FIELD, "0 to 59; with cron, or an expression.", 0, "*/5"),
    "second": described(_FIELD, "0 to 59; with cron, or an expression."),
    "crontab": described(
        TEXT, "Five fields as in crontab(5), in place of the fields by name.", "0 9 * * mon-fri"
    ),
    "start_date": described(TEXT, f"The first moment at which it may fire: {MOMENT}."),
    "end_date": described(TEXT, f"The last moment at which it may fire: {MOMENT}."),
    "timezone": described(
        TEXT, "A zone by name, or an offset; the scheduler's, if left out.", "Europe/Berlin"
    ),
    "jitter": described(
        {"type": ["number", "string"]}, "The longest random delay added to each fire time, seconds."
    ),
    "triggers": {
        "type": "array",
        "items": ref("Trigger"),
        "minItems": 1,
        "description": "The triggers that are combined.",
    },
}
_NAMES: Final = {"calendarinterval": "CalendarInterval"}
_REQUIRED: Final = {"and": ["triggers"], "or": ["triggers"]}
_KIND_TEXTS: Final = {
    "date": "Fires once.",
    "interval": "Fires at equal intervals of elapsed time.",
    "cron": "Fires when the wall clock matches every field, or crontab text.",
    "calendarinterval": "Fires every so many calendar days or months, at one time of day.",
    "and": "Fires at the moments that all of its triggers share.",
    "or": "Fires when any of its triggers does.",
}


_ERROR: Final[Json] = {
    "error_message": described(TEXT, "The value, what was expected, and how to fix it."),
    "error_type": described(TEXT, "Distinguishes errors with the same status."),
}
_IDS: Final[Json] = {"type": "array", "items": JOB_ID}
_TEXT_BY_ID: Final[Json] = {"type": "object", "additionalProperties": TEXT}
_DONE: Final[Json] = {
    "count": described(COUNT, "The number of jobs that were changed."),
    "ids": described(_IDS, "Which ones."),
}
_SELECTED: Final[Json] = {
    "count": described(COUNT, "The number of jobs, or due times."),
    "ids": described(_IDS, "The first of these jobs."),
    "first": described(TEXT, "Of due times, the first one."),
    "last": described(TEXT, "The last one."),
}
_BEGUN: Final[Json] = {
    "runs": described(_TEXT_BY_ID, "The run ids, by job id."),
    "refused": described(_TEXT_BY_ID, "Why other jobs could not run, by job id."),
}


def schemas() -> Json:
    """Return all schemas by name."""
    return {
        **_trigger_schemas(),
        **_job_schemas(),
        "Error": obj(_ERROR, [*_ERROR]),
        "NotConfirmed": obj({**_ERROR, **_SELECTED}, [*_ERROR, "count"]),
        "Done": obj(_DONE, [*_DONE]),
        "Begun": obj({**_DONE, **_BEGUN}, [*_DONE, *_BEGUN]),
        "Info": INFO.schema(),
        "HolderInfo": HOLDER.schema(),
        "StoreShown": STORE.schema(),
        "NodeShown": NODE.schema(),
        "ChannelState": CHANNEL.schema(),
        **_schemas_of_fire_times(),
        "Wait": obj(
            {"wait": {"type": "boolean", "default": True}}, examples=[{"wait": False}], closed=True
        ),
        "NewRun": obj(
            {
                "wait": {"type": "boolean", "default": True},
                **{name: optional(_call()[name]) for name in ("args", "kwargs")},
            },
            examples=[{"wait": False, "args": ["data.json"]}],
            closed=True,
            description="Arguments for this run only; default: the job's own.",
        ),
        "Backfill": obj(
            {
                "since": described(TEXT, "The first due time, or a moment before it."),
                "until": described(optional(TEXT), "Due before this time; default: now."),
                "again": {"type": "boolean", "default": False},
            },
            ["since"],
            examples=[{"since": "2026-01-01T00:00", "until": "2026-01-02T00:00"}],
            closed=True,
        ),
        "Backfilled": BACKFILLED.schema(),
        "Run": RUN.schema(),
        "LastRun": LAST_RUN.schema(),
        "Changes": obj(
            {
                "next": described(TEXT, "The position to pass as `since` for later events."),
                "events": {"type": "array", "items": ref("Event")},
            },
            ["next", "events"],
        ),
        "Event": _event(),
        "Audit": {"type": "array", "items": ref("Change")},
        "Change": AUDIT.schema(),
        "Runs": {"type": "array", "items": ref("Run")},
        "Output": OUTPUT.schema(),
        "Counts": obj({each.value: COUNT for each in Outcome}, [each.value for each in Outcome]),
        "Health": HEALTH.schema(),
        "Live": obj({"ok": FLAG}, ["ok"]),
        "Ready": obj({"ready": FLAG}, ["ready"]),
        "Metrics": described(TEXT, "Prometheus' text format, version 0.0.4."),
        "OpenApi": {"type": "object"},
    }


def _schemas_of_fire_times() -> Json:
    times = {"type": "array", "items": TIME}
    remarks = described(
        _TEXT_BY_ID,
        "Effects of clock changes on some of them, by their times; left out if there are none.",
    )
    more = described(FLAG, "Whether a search for more would have taken too long.")
    return {
        "Previewed": obj(
            {
                "next_fire_times": times,
                "remarks": remarks,
                "warnings": _TEXTS,
                "job": described(ref("Job"), "As it would be shown, if `func` was given."),
                "truncated": more,
            },
            ["next_fire_times", "warnings"],
        ),
        "Next": obj(
            {"id": JOB_ID, "next_fire_times": times, "remarks": remarks, "truncated": more},
            ["id", "next_fire_times"],
        ),
        "Forecast": FORECAST.schema(),
        **{name: shape.schema() for name, shape in PARTS.items()},
    }


def _event() -> Json:
    schema = EVENT.schema()
    run = schema["properties"]["run"]
    schema["properties"]["run"] = optional({**ref("Run"), "description": run["description"]})
    return schema


def _trigger_schemas() -> Json:
    """Return a schema for each kind of trigger, and the one that is any of them."""
    names = {kind: f"{_NAMES.get(kind) or kind.capitalize()}Trigger" for kind in kind_names()}
    return {
        **{name: _trigger_schema(kind) for kind, name in names.items()},
        "Trigger": {
            "oneOf": [ref(name) for name in names.values()],
            "discriminator": {
                "propertyName": "trigger",
                "mapping": {kind: ref(name)["$ref"] for kind, name in names.items()},
            },
            "description": "A trigger with its options inside; `type` is an alias of `trigger`.",
        },
    }


def _trigger_schema(kind: str) -> Json:
    required = _REQUIRED.get(kind, ())
    options = {
        name: schema if name in required else optional(schema)
        for name, schema in _options_of([kind]).items()
    }
    return obj(
        {"trigger": {"type": "string", "const": kind}, **options},
        ["trigger", *required],
        closed=True,
        description=_KIND_TEXTS.get(kind, "Registered by this program."),
    )


def _options_of(kinds: Sequence[str]) -> dict[str, Json]:
    """Return the options of some kinds of triggers; of those registered, the types are unknown."""
    own = frozenset().union(*(option_names(kind) for kind in kinds if kind not in KINDS))
    names = own.union(*map(option_names, kinds))
    ordered = [*(name for name in _TRIGGER_OPTIONS if name in names), *sorted(names - _KNOWN)]
    return {name: {} if name in own else _TRIGGER_OPTIONS.get(name, {}) for name in ordered}


_KNOWN: Final = _TRIGGER_OPTIONS.keys()


def _flat_options() -> Json:
    """Return the options of all kinds of triggers, each described with the kinds that have it."""
    return {
        name: optional(
            {**schema, "description": f"{_kinds_with(name)}: {schema.get('description', '')}"}
        )
        for name, schema in _options_of(kind_names()).items()
    }


def _kinds_with(option: str) -> str:
    return ", ".join(kind for kind in kind_names() if option in option_names(kind))


def _shown() -> Json:
    """Return what is shown of a job."""
    return {
        "id": JOB_ID,
        **_call(),
        "trigger": described(TEXT, "The kind; its options are next to it."),
        **_flat_options(),
        "next_run_time": optional(described(TIME, "When it is next due; null: paused.")),
        **fields_schema(Options, _OPTION_BOUNDS),
        "state": {"type": "string", "enum": list(STATES)},
        **LAST_RUNS.schema()["properties"],
        "broken": described(TEXT, "Why it currently cannot run."),
        "shown_as_repr": described(
            _TEXTS, "Values that JSON cannot represent, shown as their repr."
        ),
        "hidden": described(
            _TEXTS, "Arguments that are hidden, or contain stars in place of secrets."
        ),
    }


def _written() -> Json:
    """Return what may be given of a job; null takes a field back to its default in a change."""
    kind = {"type": "string", "enum": list(kind_names())}
    call = {name: optional(schema) for name, schema in _call().items() if name != "func"}
    options = {
        name: schema if {"type": "null"} in schema.get("anyOf", ()) else optional(schema)
        for name, schema in fields_schema(Options, _OPTION_BOUNDS).items()
    }
    times = {"type": "integer", "minimum": 1, "maximum": MAX_COUNT}
    return {
        "func": _call()["func"],
        **call,
        "trigger": described(
            {"anyOf": [kind, ref("Trigger")]},
            "The kind, with its options next to it; or a trigger with its options inside.",
        ),
        **_flat_options(),
        "next_run_time": optional(described(TEXT, f"The first run: {MOMENT}; null: it is paused.")),
        **options,
        "retry": {"anyOf": [times, ref("Retry"), {"type": "null"}]},
        "jobstore": optional(
            described({"type": "string", "enum": ["default"]}, "There is one store of jobs.")
        ),
    }


def _call() -> Json:
    """Return what a job calls."""
    return {
        "name": described(JOB_ID, "A display name; default: that of the function."),
        "func": described(TEXT, "A function that requests may name.", "package.module:function"),
        "args": described({"type": "array", "items": {}}, "Positional arguments of the function."),
        "kwargs": described({"type": "object"}, "Keyword arguments of the function."),
    }


def _job_schemas() -> Json:
    new = {
        "id": optional(described(JOB_ID, "Generated by default.")),
        **_written(),
        "replace_existing": described(FLAG, "Whether to replace a job that has this id."),
    }
    always = ["id", "name", "func", "args", "kwargs", "trigger", "next_run_time", "state"]
    return {
        "Retry": _retry(),
        "Job": obj(_shown(), always, examples=[SHOWN_JOB]),
        "ListedJob": obj(
            _shown(),
            description="A job; those fields that ?fields= names; its last runs if ?include=runs.",
        ),
        "Jobs": {"type": "array", "items": ref("ListedJob")},
        "NewJobs": {"anyOf": [ref("NewJob"), {"type": "array", "items": ref("NewJob")}]},
        "AddedJobs": {"anyOf": [ref("Job"), {"type": "array", "items": ref("Job")}]},
        "NewJob": obj(new, ["func"], closed=True, examples=list(NEW_JOBS.values())),
        "JobChanges": obj(_written(), closed=True, examples=[{"seconds": 60}]),
        "Preview": obj(new, closed=True, examples=[{"trigger": "cron", "hour": 2}]),
    }


def _retry() -> Json:
    fields = fields_schema(Retry, _RETRY_BOUNDS)
    defaults = {**Retry._field_defaults, "on": list(Retry().on)}
    return obj(
        {name: {**schema, "default": defaults[name]} for name, schema in fields.items()},
        closed=True,
        description="When to retry a failed run: after `delay` seconds, then after `factor` times"
        " as long, at most `count` times, for the errors named in `on`.",
    )


_RETRY_BOUNDS: Final[dict[str, Json]] = {
    "count": {"minimum": 1, "maximum": MAX_COUNT},
    "delay": {"minimum": 0, "maximum": LONGEST_DELAY},
    "factor": {"minimum": 1, "maximum": 100},
    "longest": {"minimum": 0, "maximum": LONGEST_DELAY},
    "jitter": {"minimum": 0, "maximum": 1},
    "on": {"minItems": 1},
}
_SECONDS: Final[Json] = {"exclusiveMinimum": 0, "exclusiveMaximum": 2**40}
_OPTION_BOUNDS: Final[dict[str, Json]] = {
    "executor": {"examples": [DEFAULT_EXECUTOR]},
    "misfire_grace_time": _SECONDS,
    "max_instances": {"minimum": 1},
    "overlap": {"enum": list(OVERLAPS)},
    "on_lost": {"enum": list(ON_LOST)},
    "tags": {"items": TAG, "maxItems": MOST_TAGS},
    **{name: {"maxItems": MOST_CHANNELS} for name in CHANNEL_OPTIONS},
    "timeout": _SECONDS,
}
