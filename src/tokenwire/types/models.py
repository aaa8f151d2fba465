"""What `GET /models` answers."""

from msgspec import field

from ._record import OpenRecord
from ._response import Response


class Model(OpenRecord):
    """A model that the endpoint offers. Fields without a name here are attributes all the same.

    Attributes:
        id: what to name it in a call.
        created: when it was made, in seconds since 1970.
        object: "model".
        owned_by: who offers it.
    """

    id: str = ""
    created: int | float | None = None
    object: str | None = "model"
    owned_by: str | None = None


class ModelList(Response):
    """The models that an endpoint offers.

    Attributes:
        data: the models; iterate over this.
        object: "list".
    """

    data: list[Model] = field(default_factory=list)
    object: str | None = "list"
