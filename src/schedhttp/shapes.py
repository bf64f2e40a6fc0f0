"""Value classes as the API shows them: their JSON, and the JSON Schema of it, from one definition.

Both are derived from the fields of a NamedTuple: the names, the types, and the docstrings below
them.  So a field that is added to one is shown and described, and the two cannot drift apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum, IntEnum
from functools import cache
from itertools import pairwise
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    NamedTuple,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from schedcore import (
    AuditRecord,
    ChannelState,
    Health,
    Outcome,
    Output,
    Run,
    RunRecord,
    State,
)
from schedcore.clock import SECOND, from_us
from schedcore.last_runs import LastRuns

if TYPE_CHECKING:
    from schedcore import Holder, NodeInfo, StoreInfo

Json = dict[str, Any]


# JSON Schema


def ref(name: str) -> Json:
    """Return a reference to a schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def optional(schema: Json) -> Json:
    """Return a schema that allows null as well; what describes it stays outside."""
    told: Json = {k: schema[k] for k in ("description", "examples") if k in schema}
    return {"anyOf": [{k: v for k, v in schema.items() if k not in told}, {"type": "null"}], **told}


def obj(
    properties: Json, required: list[str] | None = None, closed: bool = False, **more: Any
) -> Json:
    """Return the schema of an object; *closed*: the server refuses other names."""
    schema: Json = {"type": "object", "properties": properties, **more}
    if required:
        schema["required"] = required
    if closed:
        schema["additionalProperties"] = False
    return schema


def fields_schema(kind: Any, bounds: Mapping[str, Json]) -> Json:
    """Return the schemas of the fields of a NamedTuple, with their docstrings as descriptions.

    Args:
        kind: Which one.
        bounds: What a type does not tell of some fields, to be added to their schemas.
    """
    hints, docs = get_type_hints(kind), _docs_of(kind)
    return {
        name: _schema_of(hints[name], docs.get(name, ""), bounds.get(name, {}))
        for name in kind._fields
    }


_PLAIN: Final[Mapping[object, Json]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer", "minimum": 0},
    float: {"type": "number"},
    str: {"type": "string"},
    datetime: {"type": "string", "format": "date-time"},
}


def _schema_of(hint: Any, doc: str = "", bounds: Mapping[str, Any] | None = None) -> Json:
    inner = _without_none(hint)
    schema = {**_plain_schema(inner), **(bounds or {})}
    if doc:
        schema["description"] = doc
    return schema if inner is hint else optional(schema)


def _plain_schema(hint: Any) -> Json:
    if hint is Any:
        return {}
    if hint in _PLAIN:
        return _PLAIN[hint]
    if get_origin(hint) is tuple:
        return {"type": "array", "items": _schema_of(get_args(hint)[0])}
    if get_origin(hint) is not None and issubclass(get_origin(hint), Mapping):
        return {"type": "object", "additionalProperties": _schema_of(get_args(hint)[1])}
    if issubclass(hint, Enum):
        return {"type": "string", "enum": [_enum_to_json(each) for each in hint]}
    return ref(hint.__name__)


def _without_none(hint: Any) -> Any:
    if get_origin(hint) not in (Union, UnionType):
        return hint
    (inner,) = (each for each in get_args(hint) if each is not NoneType)
    return inner


@cache
def _docs_of(kind: Any) -> Mapping[str, str]:
    """Return the docstrings of a class' fields, which Python keeps in the source alone."""
    import ast  # with inspect 10 ms, which only who asks for the description has to wait for
    import inspect

    try:
        body = ast.parse(inspect.getsource(kind)).body[0].body  # type: ignore[attr-defined]
    except OSError:  # there is no source: it is described without words
        return {}
    return {
        field.target.id: _in_json(str(doc.value.value))
        for field, doc in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(doc, ast.Expr)
        and isinstance(doc.value, ast.Constant)
    }


def _in_json(doc: str) -> str:
    """Return a docstring in the words of JSON, on one line."""
    plain = re.sub(r":\w+:`[~.\w]*?(\w+)`", r"`\1`", " ".join(doc.split()))
    return re.sub(r"\bNone\b", "null", plain.replace("``", "`"))


# Shapes


class Shape:
    """How the values of one NamedTuple are shown.

    A field ``x_us`` is shown as the property ``x``, which makes a time of it.

    Args:
        kind: The class.
        instead: Properties that are shown in place of other fields.
        as_text: Fields with numbers of more digits than JavaScript's can tell apart.
        more: What is shown besides, by name: its type and its description.
    """

    def __init__(
        self,
        kind: type[Any],
        instead: Mapping[str, str] | None = None,
        as_text: frozenset[str] = frozenset(),
        more: Mapping[str, tuple[Any, str]] | None = None,
    ) -> None:
        names = [(instead or {}).get(n, n.removesuffix("_us")) for n in kind._fields]
        self._kind: Any = kind
        self._as_text = as_text
        self._more = more or {}
        self._hints = {name: self._hint_of(name) for name in names}
        writers = {name: _writer_of(hint) for name, hint in self._hints.items()}
        self._writers = [*(writers | dict.fromkeys(as_text, str)).items()]

    def to_dict(self, value: Any, **more: Any) -> dict[str, Any]:
        """Return *value* as it is shown, with what is shown besides."""
        assert more.keys() == self._more.keys()
        data: dict[str, Any] = {}
        for name, writer in self._writers:
            found = getattr(value, name)
            data[name] = found if writer is None or found is None else writer(found)
        return data | more

    def schema(self) -> Json:
        """Return the JSON Schema of what :meth:`to_dict` returns."""
        properties = {
            name: _schema_of(str | None if name in self._as_text else hint, self._doc_of(name))
            for name, hint in self._hints.items()
        }
        properties |= {name: _schema_of(hint, doc) for name, (hint, doc) in self._more.items()}
        return obj(properties, list(properties))

    def _hint_of(self, name: str) -> Any:
        if isinstance(computed := getattr(self._kind, name), property):
            return get_type_hints(computed.fget)["return"]
        return get_type_hints(self._kind)[name]

    def _doc_of(self, name: str) -> str:
        if isinstance(computed := getattr(self._kind, name), property):
            return _in_json(computed.__doc__ or "")
        return _docs_of(self._kind).get(name, "")


def _writer_of(hint: Any) -> Callable[[Any], object] | None:
    """Return what makes JSON of a value of this type; None: it is JSON as it is."""
    inner = get_origin(kind := _without_none(hint)) or kind
    if inner in _SHAPES:
        return _SHAPES[inner].to_dict
    if inner is tuple and (item := get_args(kind)[0]) in _SHAPES:
        return lambda values: list(map(_SHAPES[item].to_dict, values))
    for base, writer in _WRITERS.items():
        if issubclass(inner, base):
            return writer
    return None


def _enum_to_json(value: Enum) -> str:
    return value.name.lower() if isinstance(value, IntEnum) else str(value.value)


_WRITERS: Final[Mapping[type, Callable[[Any], object]]] = {
    datetime: datetime.isoformat,
    Enum: _enum_to_json,
    tuple: list,
    Mapping: dict,
}
_SHAPES: Final[dict[type, Shape]] = {}
"""The shapes of value classes that are fields of others."""


def nested(kind: type[Any]) -> Shape:
    """Return the shape of a value class that is a field of others."""
    return _SHAPES.setdefault(kind, Shape(kind))


class HolderInfo(NamedTuple):
    """The process that takes due jobs."""

    pid: int
    host: str
    since: datetime
    """Since when it is there."""

    @classmethod
    def of(cls, holder: Holder) -> HolderInfo:
        """Return what the API shows of *holder*."""
        return cls(holder.pid, holder.host, from_us(holder.since_us))


class StoreShown(NamedTuple):
    """Where jobs are kept."""

    kind: str
    """`memory`, `sqlite`, `postgresql`, or the name of another class."""
    reachable: bool
    schema: int | None
    """The version of its tables."""
    clock_offset: float | None
    """Seconds by which its clock is ahead of this computer's; null: it has none of its own."""
    notifications: bool
    """Whether it tells at once what other processes change; if not, they look now and then."""

    @classmethod
    def of(cls, store: StoreInfo) -> StoreShown:
        """Return what the API shows of *store*: not where it is."""
        return cls(
            store.kind, store.reachable, store.schema, store.clock_offset, store.notifications
        )


class NodeShown(NamedTuple):
    """A process that has joined the store."""

    id: int
    """Given by the store at each start, and never again."""
    host: str
    pid: int
    since: datetime
    """When it joined."""
    state: str
    """`alive`; `leaving`: runs of it go on; `left`; or `dead`."""
    takes: bool
    """Whether it takes due jobs."""
    renewed: float | None
    """Seconds since it said that it is alive; null: the operating system knows."""
    runs: int
    """How many open runs belong to it."""
    executors: tuple[str, ...]
    """The names of its executors."""
    app: str
    """In whose name it declares jobs."""

    @classmethod
    def of(cls, node: NodeInfo, now_us: int) -> NodeShown:
        """Return what the API shows of *node*."""
        renewed = None if node.renewed_us is None else max(0, now_us - node.renewed_us) / SECOND
        return cls(
            *(node.id, node.host, node.pid, from_us(node.since_us), node.state, node.takes),
            *(renewed, node.runs, node.executors, node.app),
        )


class SchedulerInfo(NamedTuple):
    """Where a scheduler is, and what it does: in all processes on its store."""

    current_host: str
    """The name of the host that answers."""
    allowed_hosts: tuple[str, ...]
    """Names of the hosts that may run the scheduler; `*` is any."""
    running: bool
    """Whether the scheduler is started."""
    state: State
    holder: HolderInfo | None
    """The process that takes due jobs; of several that do, the one that has for longest."""
    store: StoreShown
    nodes: tuple[NodeShown, ...]
    """The processes that have joined the store, or were there lately; none, if it is not shared."""
    channels: tuple[ChannelState, ...]
    """The channels through which jobs tell of failures."""


class RunShown(NamedTuple):
    """A run, or due times that did not run."""

    run_id: str | None
    """Null where no run was made: missed, coalesced and skipped occurrences.  A number, as text
    since it may have more digits than JavaScript can tell apart."""
    job_id: str
    outcome: Outcome | None
    """Null: it has not ended."""
    scheduled: datetime
    """When it was due; the first one, if this is of several."""
    started: datetime | None
    """When the function was called."""
    ended: datetime | None
    lateness: float
    """Seconds by which it started late, or by which it was too late."""
    occurrences: int
    """How many due times this is of."""
    result: str | None
    """The repr of what the function returned, shortened; null where that was None."""
    error_type: str | None
    error_text: str | None
    attempt: int
    """Which attempt this is, or ended it, from 1."""
    cause: str
    """Why it was due: `schedule`; `manual`: somebody ran it; or `backfill`: it was one of several
    due times that had come before the first of them ran."""
    reason: str | None
    """Facts that the other fields do not tell."""
    node: int | None
    """The process that it belongs or belonged to, on a store that processes share."""
    state: str
    """`waiting`, `running` or `ended`."""
    why: str
    """What became of it and why, in one sentence."""

    @classmethod
    def of(cls, run: Run | RunRecord) -> RunShown:
        """Return what the API shows of a run, which may have ended a moment ago."""
        record = run.record if isinstance(run, Run) else run
        if record is None:
            assert isinstance(run, Run)
            return cls._of_open(run)
        return cls(
            None if record.run_id is None else str(record.run_id),
            record.job_id,
            record.outcome,
            record.scheduled,
            record.started,
            record.ended,
            record.lateness,
            record.occurrences,
            record.result,
            record.error_type,
            record.error_text,
            record.attempt,
            record.cause,
            record.reason,
            record.node,
            record.state,
            record.why(),
        )

    @classmethod
    def _of_open(cls, run: Run) -> RunShown:
        started = None if run.started_us is None else from_us(run.started_us)
        return cls(
            run_id=str(run.id),
            job_id=run.job_id,
            outcome=None,
            scheduled=run.scheduled_time,
            started=started,
            ended=None,
            lateness=run.lateness,
            occurrences=1,
            result=None,
            error_type=run.error_type,
            error_text=run.error_text,
            attempt=run.attempt,
            cause=run.cause,
            reason=None,
            node=run.node,
            state=run.state,
            why=run.why(),
        )


class LastRun(NamedTuple):
    """The outcome of a job that was recorded last."""

    run_id: str | None
    """Null: no run was made."""
    outcome: Outcome
    at: datetime
    """When it ended; of what did not run, when it was due."""


class LastRunsShown(NamedTuple):
    """How the last runs of a job went, as far as they are kept, and the last 100 at most."""

    last_run: LastRun | None
    """The outcome that was recorded last."""
    failures_in_a_row: int
    """How many runs failed, timed out or were lost since the last one that was executed."""
    mean_duration: float | None
    """Seconds that those took that were executed; null: none was."""
    p95_duration: float | None
    """Seconds within which 95 of 100 of them had ended."""

    @classmethod
    def of(cls, runs: LastRuns) -> LastRunsShown:
        """Return what the API shows of *runs*."""
        last = runs.last
        if last is not None:
            run_id = None if last.run_id is None else str(last.run_id)
            last_run = LastRun(run_id, last.outcome, last.ended or last.scheduled)
        return cls(None if last is None else last_run, *runs[1:])


HOLDER: Final = nested(HolderInfo)
STORE: Final = nested(StoreShown)
NODE: Final = nested(NodeShown)
CHANNEL: Final = nested(ChannelState)
INFO: Final = Shape(SchedulerInfo)
HEALTH: Final = Shape(
    Health,
    more={
        "runs": (int | None, "How many runs wait or are under way; null: not known."),
        "reason": (str | None, "Why the store cannot be used; null: it can."),
    },
)
LAST_RUN: Final = nested(LastRun)
LAST_RUNS: Final = Shape(LastRunsShown)
RUN: Final = nested(RunShown)
OUTPUT: Final = Shape(Output, more={"run_id": (str, "Of which run.")})


class EventShown(NamedTuple):
    """Something that happened."""

    event: str
    """`run_ended`; `job_added`, `job_changed`, `job_replaced`, `job_paused`, `job_resumed`,
    `job_parked`, `job_removed`; `scheduler_started`, `scheduler_paused`, `scheduler_resumed` or
    `scheduler_stopped`."""
    at: datetime
    """When it happened."""
    job_id: str | None
    """Null: the scheduler."""
    run: RunShown | None
    """The run that ended, or due times that did not run."""


EVENT: Final = Shape(EventShown)
AUDIT: Final = Shape(
    AuditRecord, {"before_text": "before", "after_text": "after"}, frozenset({"run_id"})
)
