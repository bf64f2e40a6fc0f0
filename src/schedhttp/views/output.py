"""The endpoint for the output of runs."""

from __future__ import annotations

from schedcore import InvalidOptionError
from schedhttp.errors import BadRequest, Forbidden
from schedhttp.request import Incoming, read_count
from schedhttp.run_paging import read_run_id
from schedhttp.shown import (
    OUTPUT,
)
from schedhttp.views.base import Reply, Service

MOST_AFTER = 10**11 - 1


def get_output(service: Service, request: Incoming, run_id: str) -> Reply:
    """Show a run's output so far, after a number of characters.

    Output of a run in another process appears about a second later.
    """
    number = read_run_id("run_id", run_id)
    if service.settings.api_hide_args and not request.may_change:
        raise Forbidden(
            "read-only users may not see the output of runs: SCHEDULER_API_HIDE_ARGS=false shows it"
        )
    after = read_count(request, "after", 0, MOST_AFTER) or 0
    try:
        output = service.scheduler.output(number, after)
    except InvalidOptionError as error:
        raise BadRequest(str(error)) from None
    return Reply(OUTPUT.to_dict(output, run_id=str(number)))
