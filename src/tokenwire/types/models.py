"""What `GET /models` answers."""

from msgspec import field

from ._record import OpenRecord
from ._response import Response


class Model(OpenRecord):
    """A model the endpoint offers."""

    id: str = ""
    created: int | float | None = None
    object: str | None = "model"
    owned_by: str | None = None


class ModelList(Response):
    """The models an endpoint offers; iterate over `data`."""

    data: list[Model] = field(default_factory=list)
    object: str | None = "list"
