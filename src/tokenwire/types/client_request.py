"""Who asks what is served, and for what."""

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


class Original(msgspec.Struct, frozen=True, gc=False):
    """What a server's client asked for, in the words of its API: for endpoints that speak the same one.

    Such an endpoint is asked what the client asked, and what it answers goes to the client as it comes.

    Attributes:
        dialect: the API's, by its `Dialect.name`.
        fields: the request's body as it came; None where the keywords of a call say the same.
        keywords: what it was translated to, for everybody else. What a call has beside them, or in the place of one of them,
            is not the client's, and is sent as well.
    """

    dialect: str
    fields: dict[str, Any] | None
    keywords: dict[str, Any]

    def __repr__(self) -> str:
        return f"<Original {self.dialect}>"  # not what was said
