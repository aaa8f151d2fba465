"""What `GET /models` answers."""

from typing import Any

from msgspec import field

from ._record import OpenRecord, Response, coerce


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

    @classmethod
    def _prepare(cls, fields: dict[str, Any], unknown: dict[str, Any]) -> dict[str, Any]:
        fields["data"] = coerce(fields.get("data") or [], Model)
        return fields
