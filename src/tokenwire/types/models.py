"""The answers about models: the list (`GET /models`), and the number of tokens of a prompt."""

from msgspec import field

from ._record import OpenRecord
from ._response import Response


class Model(OpenRecord):
    """A model that the endpoint offers. Unknown fields are attributes, too.

    Attributes:
        id: its name in calls.
        created: when it was made, in seconds since 1970.
        object: "model".
        owned_by: the organization that offers it.
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


class TokenCount(Response):
    """The number of tokens of a prompt for a model."""

    input_tokens: int = 0
