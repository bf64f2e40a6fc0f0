"""Every endpoint keeps to what the API's own description says, whatever is generated from it."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from schedcore import ManualClock, Scheduler
from schedhttp import create_app

load_all_checks()


def local(app):
    """Return *app* as a server on this computer calls it."""

    def called(environ, start_response):
        return app({**environ, "REMOTE_ADDR": "127.0.0.1"}, start_response)

    return called


def described():
    """Return the operations of an API that says 422 and not 500, and runs nothing."""
    scheduler = Scheduler(clock=ManualClock(), timezone="Europe/Berlin")
    for job_id in ("0", "1", "00"):
        scheduler.add_job("math:sqrt", "interval", [4], id=job_id, minutes=5)
    app = create_app(scheduler, api_allowed_funcs=["math:sqrt"], api_precise_errors=True)
    schema = schemathesis.openapi.from_wsgi("/scheduler/openapi.json", local(app))
    return [result.ok() for result in schema.get_all_operations()]


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.mark.parametrize("operation", described(), ids=lambda operation: operation.label)
def test_the_api_keeps_to_its_description(operation):
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def keeps(case):
        # A scheduler that is not started is not healthy, and 503 says so.
        checks = CHECKS if not case.path.endswith(("/health", "/live")) else CHECKS[1:]
        case.call_and_validate(checks=checks)

    keeps()
