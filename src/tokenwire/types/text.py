"""What `/completions` answers, whole and in pieces."""

from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import field

from ._record import HasProviderFields, OpenRecord, hidden
from ._response import Response
from ._source import Fields, Path
from .chat import Usage, _number_if_new
from .logprobs import HasLogprobs, Logprobs, Unread


class TextChoices(OpenRecord, HasProviderFields, HasLogprobs):
    """One completion, or a piece of one.

    Attributes:
        finish_reason: why it ends; None while it goes on.
        index: which of the prompts' choices it is, from 0.
        text: the whole of it, or what the piece adds.
    """

    finish_reason: str | None = None
    index: int | None = 0
    text: str | None = None
    _logprobs: Unread = hidden(default=None, alias="logprobs")
    _provider_specific_fields: Fields | None = hidden(default=None, alias="provider_specific_fields")

    _place: ClassVar[Path] = ("choices", 0)

    if TYPE_CHECKING:

        @property
        def logprobs(self) -> Logprobs | Any:
            """See `HasLogprobs`."""

        @logprobs.setter
        def logprobs(self, value: object) -> None: ...


class TextCompletionResponse(Response, HasProviderFields):
    """A text completion; streamed, each chunk is one of these too, its `text` being what the chunk adds.

    Attributes:
        id: the completion's.
        object: "text_completion".
        created: when it was made, in seconds since 1970.
        model: what the server calls the model that answered.
        choices: one for each of `n`, of each prompt.
        usage: tokens used; None where the server did not count them.
        system_fingerprint: of the configuration that answered, as OpenAI has it.
    """

    id: str | int | None = None
    object: str | None = "text_completion"
    created: int | float | None = None
    model: str | None = None
    choices: list[TextChoices] = field(default_factory=list)
    usage: Usage | None = None
    system_fingerprint: str | None = None
    _provider_specific_fields: Fields | None = hidden(default=None, alias="provider_specific_fields")

    @property
    def text(self) -> str:
        """What the first choice says; "" where it says nothing."""
        return (self.choices[0].text or "") if self.choices else ""

    @classmethod
    def _prepare(cls, fields: Fields, unknown: Fields) -> None:
        _number_if_new(fields, "cmpl-")
        if fields.get("choices") is None:
            fields["choices"] = [TextChoices()]
