"""The HTTP request that a served handler answers."""

from typing import Any

import msgspec


class ClientRequest(msgspec.Struct, frozen=True):
    """The HTTP request that a served handler answers: the server passes it to calls as `client_request`.

    It is never sent to another server.

    Attributes:
        request_id: sent to the client as `x-request-id`, unless the answer is an endpoint's with an id of its own.
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
