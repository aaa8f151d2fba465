"""What `/completions` answers, whole and in pieces."""

from typing import Any, ClassVar

from msgspec import field

from ._record import OpenRecord, Path, Response, coerce, lazy_field
from .chat import Usage, _number_if_new


class TextChoices(OpenRecord):
    """One completion, or a piece of one."""

    finish_reason: str | None = None
    index: int | None = 0
    text: str | None = None
    logprobs: Any = None
    provider_specific_fields: dict[str, Any] | None = None

    _place: ClassVar[Path] = ("choices", 0)


class TextCompletionResponse(Response):
    """A text completion; streamed, each chunk is one of these too, its `text` being what the chunk adds."""

    id: str | int | None = None
    object: str | None = "text_completion"
    created: int | float | None = None
    model: str | None = None
    choices: list[TextChoices] = field(default_factory=list)
    usage: Usage | None = None
    system_fingerprint: str | None = None
    provider_specific_fields: dict[str, Any] | None = None

    @classmethod
    def _prepare(cls, fields: dict[str, Any], unknown: dict[str, Any]) -> dict[str, Any]:
        _number_if_new(fields, "cmpl-")
        fields["choices"] = coerce(fields["choices"], TextChoices) if fields.get("choices") is not None else [TextChoices()]
        fields["usage"] = coerce(fields.get("usage"), Usage)
        return fields


for _cls in (TextChoices, TextCompletionResponse):
    lazy_field(_cls, "provider_specific_fields", lambda record: record._unknown() or None)
