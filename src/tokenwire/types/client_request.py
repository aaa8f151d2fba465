"""The HTTP request that a server answers by a call."""

from typing import Any

import msgspec

from ..exceptions import BadRequestError


class ClientRequest(msgspec.Struct, frozen=True):
    """The HTTP request that a served handler answers: the server passes it to calls as `client_request`.

    It is never sent to another server.

    Attributes:
        request_id: sent to the client as `x-request-id`, unless the answer is an endpoint's, and has an id.
        method: such as "POST".
        url: such as "http://localhost:8000/v1/chat/completions".
        headers: names in lower case; without those that hold keys or cookies.
        address: the client's host, None if the server does not know it.
        body: the request's JSON, as received.
    """

    request_id: str
    method: str
    url: str
    headers: dict[str, str]
    address: str | None
    body: dict[str, Any]

    def __repr__(self) -> str:
        return f"<ClientRequest {self.request_id} {self.method}>"  # without its content


class Original(msgspec.Struct, frozen=True, gc=False):
    """The request of a server's client, in the client's own API: for endpoints that speak the same API.

    Such an endpoint gets this request, and its answer goes to the client unchanged: a stream hands out `wire.passing.Sent`
    in place of chunks, and `body_passed_on` has the body of a whole answer.

    Attributes:
        dialect: the API, as `Dialect.name`.
        fields: the request's body as it came; None if the call's keywords are the same.
        keywords: the keywords that it was translated to, for all other targets. Keywords that a call has besides these, or
            with another value, are not the client's; they are added to `fields`.
        misfit: why it could not be translated; `keywords` have only what observers of the call may want to see.
    """

    dialect: str
    fields: dict[str, Any] | None
    keywords: dict[str, Any]
    misfit: BadRequestError | None = None

    def __repr__(self) -> str:
        return f"<Original {self.dialect}>"  # without its content
