"""Every endpoint keeps to what the API's own description says, whatever is generated from it."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import CHECKS, load_all_checks, not_a_server_error

from schedcore import ManualClock, Scheduler
from schedhttp import create_app
from tests.patience import examples

load_all_checks()
LEFT_OUT = {
    # What a schema says of one field cannot tell which fields go together: a function and its
    # arguments, a trigger and its options.  Hypothesis' jobs in test_fuzz.py are told apart there.
    "positive_data_acceptance",
}
ALL_CHECKS = [check for check in CHECKS.get_all() if check.__name__ not in LEFT_OUT]


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


@pytest.mark.parametrize("operation", described(), ids=lambda operation: operation.label)
def test_the_api_keeps_to_its_description(operation):
    @settings(max_examples=examples(25), deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def keeps(case):
        checks = ALL_CHECKS
        if case.path.endswith(("/health", "/ready")):
            # A scheduler that is not started is not healthy, and 503 says so.
            checks = [check for check in checks if check is not not_a_server_error]
        case.call_and_validate(checks=checks)

    keeps()
