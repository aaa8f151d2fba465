"""What `/embeddings` answers."""

from typing import Any, ClassVar

from msgspec import field

from ._record import OpenRecord, Path, Response, coerce
from .chat import Usage


class Embedding(OpenRecord):
    """One input's vector: a list of floats, or base64 text when `encoding_format="base64"` was asked for."""

    embedding: list[float] | str = field(default_factory=list)
    index: int = 0
    object: str = "embedding"

    _place: ClassVar[Path] = ("data", 0)


class EmbeddingResponse(Response):
    """The vectors of one call, in the order of its inputs."""

    model: str | None = None
    data: list[Embedding] = field(default_factory=list)
    object: str = "list"
    usage: Usage | None = None

    @classmethod
    def _prepare(cls, fields: dict[str, Any], unknown: dict[str, Any]) -> dict[str, Any]:
        fields["data"] = coerce(fields.get("data") or [], Embedding)
        fields["usage"] = coerce(fields.get("usage"), Usage)
        return fields
