"""Who asks a handler that is served."""

from typing import Any

import msgspec


class ClientRequest(msgspec.Struct, frozen=True):
    """The HTTP request that a served handler answers; what the server gives calls as `client_request`.

    Nothing of it is sent on by itself.

    Attributes:
        request_id: what the client is told as `x-request-id`, unless the answer is an endpoint's that has an id of its own.
        method: such as "POST".
        url: such as "http://localhost:8000/v1/chat/completions".
        headers: names in lower case; those that hold keys or cookies are left out.
        address: the host that the connection comes from, None where the server does not know.
        body: the request's JSON, as it came.
    """

    request_id: str
    method: str
    url: str
    headers: dict[str, str]
    address: str | None
    body: dict[str, Any]

    def __repr__(self) -> str:
        return f"<ClientRequest {self.request_id} {self.method}>"  # not what was said
