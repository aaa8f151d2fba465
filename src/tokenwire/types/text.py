"""The answers of `/completions`, whole and streamed."""

from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import field

from ._record import HasProviderFields, OpenRecord, hidden
from ._response import Response
from ._source import Fields, Path
from .chat import Usage, _number_if_new
from .logprobs import HasLogprobs, Logprobs, Unread


class TextChoices(OpenRecord, HasProviderFields, HasLogprobs):
    """One completion, or a chunk's part of one.

    Attributes:
        finish_reason: why it ended; None if it has not.
        index: which of all prompts' choices it is, from 0.
        text: its whole text, or the text that the chunk adds.
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
    """A text completion. In a stream each chunk is one, too, and its `text` is what the chunk adds.

    Attributes:
        id: the completion's.
        object: "text_completion".
        created: when it was made, in seconds since 1970.
        model: the server's name of the model that answered.
        choices: one for each of `n`, of each prompt.
        usage: the tokens used; None if the server did not send them.
        system_fingerprint: OpenAI's identifier of the configuration that answered.
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
        """The text of the first choice; "" if there is none."""
        return (self.choices[0].text or "") if self.choices else ""

    @classmethod
    def _prepare(cls, fields: Fields, unknown: Fields) -> None:
        _number_if_new(fields, "cmpl-")
        if fields.get("choices") is None:
            fields["choices"] = [TextChoices()]
