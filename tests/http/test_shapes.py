"""What is shown of a value class, and its schema, both follow from the class alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from enum import Enum, IntEnum
from typing import NamedTuple

import pytest
from jsonschema import Draft202012Validator

from schedcore import ChannelState, Health, Outcome, RunRecord, State
from schedcore.job import Options
from schedcore.retry import Retry
from schedhttp import create_app
from schedhttp.shapes import (
    Shape,
)
from schedhttp.shown import (
    HEALTH,
    RUN,
    HolderInfo,
    NodeShown,
    RunShown,
    SchedulerInfo,
    StoreShown,
)


class Colour(str, Enum):
    RED = "red"


class Level(IntEnum):
    TOP_ONE = 1


class Thing(NamedTuple):
    """One field of each kind."""

    number: int
    """How many; None of them is odd,
    as :data:`~schedcore.State` has it in ``two`` lines."""
    ratio: float
    yes: bool
    text: str | None
    colour: Colour
    level: Level
    names: tuple[str, ...]
    spans: Mapping[str, float]
    huge: int | None
    when_us: int
    after_us: int | None = None

    @property
    def when(self) -> datetime:
        """When it was."""
        return datetime.fromtimestamp(self.when_us / 1e6, timezone.utc)

    @property
    def delay(self) -> float | None:
        """Seconds."""
        return None if self.after_us is None else self.after_us / 1e6


THING = Thing(2, 0.5, True, None, Colour.RED, Level.TOP_ONE, ("a",), {"x": 1.5}, 2**60, 0)
SHAPE = Shape(Thing, {"after_us": "delay"}, frozenset({"huge"}), {"runs": (int, "How many.")})


def test_each_type_of_field_is_shown_as_json():
    assert SHAPE.to_dict(THING, runs=3) == {
        "number": 2,
        "ratio": 0.5,
        "yes": True,
        "text": None,
        "colour": "red",
        "level": "top_one",
        "names": ["a"],
        "spans": {"x": 1.5},
        "huge": str(2**60),
        "when": "1970-01-01T00:00:00+00:00",
        "delay": None,
        "runs": 3,
    }


def test_the_schema_has_the_types_and_the_docstrings():
    schema = SHAPE.schema()
    fields = schema["properties"]
    assert fields["number"] == {
        "type": "integer",
        "minimum": 0,
        "description": "How many; null of them is odd, as `State` has it in `two` lines.",
    }
    assert fields["level"] == {"type": "string", "enum": ["top_one"]}
    assert fields["huge"] == {"anyOf": [{"type": "string"}, {"type": "null"}]}
    assert fields["when"]["description"] == "When it was."
    assert fields["runs"]["description"] == "How many."
    assert schema["required"] == list(fields)


HEALTHY = Health(True, State.RUNNING, 0.0, 0.0, 0, 0, 0, 0, {"default": 1.5})
SHOWN = {
    "a thing": (SHAPE, SHAPE.to_dict(THING, runs=0)),
    "health": (HEALTH, HEALTH.to_dict(HEALTHY, runs=1)),
    "a missed run": (RUN, RUN.to_dict(RunShown.of(RunRecord(None, "j", Outcome.MISSED, 0)))),
}


@pytest.mark.parametrize("case", SHOWN)
def test_what_is_shown_keeps_to_the_schema(case):
    shape, shown = SHOWN[case]
    schema = shape.schema()
    Draft202012Validator(schema).validate(shown)
    assert list(shown) == list(schema["properties"])


@pytest.mark.parametrize(
    "kind",
    [
        Health,
        RunRecord,
        SchedulerInfo,
        HolderInfo,
        StoreShown,
        NodeShown,
        ChannelState,
        Options,
        Retry,
    ],
)
def test_each_field_of_a_value_class_is_described(kind, scheduler):
    """Also one that is added tomorrow: nobody has to write it down a second time."""
    name = {RunRecord: "Run", SchedulerInfo: "Info", Options: "Job"}.get(kind, kind.__name__)
    app = create_app(scheduler)
    properties = app.service.openapi("")["components"]["schemas"][name]["properties"]
    fields = {field for field in kind._fields if not field.endswith("_us")}
    assert fields <= properties.keys()
