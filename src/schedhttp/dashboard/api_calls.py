"""How pages call the API: endpoints by name, inside this process, with the visitor's role.

So a page cannot show or do anything that the API refuses, and hides what the API hides.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

from schedhttp import routes
from schedhttp.errors import Refusal
from schedhttp.request import Incoming
from schedhttp.routes import Route
from schedhttp.security.authentication import Role
from schedhttp.views.base import Rendered

Perform = Callable[[Route, Mapping[str, Any], Incoming, Role], Rendered]
"""Lets an endpoint answer an authenticated request."""
_PASSED_ON = ("REMOTE_ADDR", "SCRIPT_NAME", "HTTP_HOST", "wsgi.url_scheme")


class Answer:
    """The answer of an endpoint: its status, headers, and the JSON of its body."""

    def __init__(self, rendered: Rendered) -> None:
        self.status, headers, body = rendered
        self.headers = dict(headers)
        is_json = body and self.headers["Content-Type"] == "application/json"
        self.json: Any = json.loads(body) if is_json else None

    @property
    def count(self) -> int | None:
        """The total number of listed items; None: too many to count."""
        total = self.headers.get("X-Total-Count")
        return None if total is None else int(total)


class Refused(Refusal):
    """An endpoint refused a request.

    Args:
        answer: Its answer.
    """

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.status = answer.status  # type: ignore[misc]  # here it differs from one to the other
        self.error_type: str = answer.json["error_type"]
        super().__init__(answer.json["error_message"])


class ApiCalls:
    """Calls endpoints on behalf of the visitor of a page.

    Args:
        perform: Lets an endpoint answer.
        page: The request for the page.
        role: The visitor's role.
        most: The maximum length of a body, in bytes.
    """

    def __init__(self, perform: Perform, page: Incoming, role: Role, most: int) -> None:
        self._perform = perform
        self._page = page
        self._role = role
        self._most = most

    def __call__(
        self,
        name: str,
        values: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Return the answer of the endpoint *name*.

        Args:
            name: Its name in the table of routes.
            values: The values in its path.
            query: Its parameters; None and empty ones are left out.
            body: Its body, which is sent as JSON; None: no body.
            headers: Its headers, named as in a WSGI environment.

        Raises:
            Refused: if it refuses the request.
        """
        route = routes.BY_NAME[name]
        sent = b"" if body is None else json.dumps(body).encode()
        outer = self._page.environ
        environ: dict[str, Any] = {
            **{key: outer[key] for key in _PASSED_ON if key in outer},
            "REQUEST_METHOD": route.method,
            "PATH_INFO": "/",
            "QUERY_STRING": urlencode(
                {k: v for k, v in (query or {}).items() if v not in (None, "", [])}, doseq=True
            ),
            "CONTENT_LENGTH": str(len(sent)),
            "wsgi.input": BytesIO(sent),
            **(headers or {}),
        }
        request = Incoming(environ, self._most)
        request.user = self._page.user
        request.may_wait = False
        answer = Answer(self._perform(route, values or {}, request, self._role))
        if answer.status >= 400 and not (name == "get_health" and answer.status == 503):
            raise Refused(answer)
        return answer
