"""What `/images/generations` answers."""

import time
from typing import Any, ClassVar

from msgspec import field

from ._record import HasProviderFields, OpenRecord, hidden
from ._response import Response
from ._source import Fields, Path


class ImageObject(OpenRecord, HasProviderFields):
    """One image.

    Attributes:
        b64_json: its bytes as base64 text; None where there is an address.
        url: its address; None where there are bytes.
        revised_prompt: what the model made of the prompt, where it says so.
    """

    b64_json: str | None = None
    url: str | None = None
    revised_prompt: str | None = None
    _provider_specific_fields: Fields | None = hidden(default=None, alias="provider_specific_fields")

    _place: ClassVar[Path] = ("data", 0)


class ImageUsage(OpenRecord):
    """Tokens an image call used.

    Attributes:
        input_tokens: of the prompt.
        output_tokens: of the images.
        total_tokens: both.
        input_tokens_details: how the prompt's were counted, as the server has it.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    input_tokens_details: Any = None

    _place: ClassVar[Path] = ("usage",)


class ImageResponse(Response):
    """The images of one call.

    Attributes:
        created: when they were made, in seconds since 1970.
        data: the images.
        background: "transparent" or "opaque", where the server says so.
        output_format: such as "png", likewise.
        quality: such as "high", likewise.
        size: such as "1024x1024", likewise.
        usage: tokens used; None where the server did not count them.
    """

    created: int | float | None = None
    data: list[ImageObject] = field(default_factory=list)
    background: str | None = None
    output_format: str | None = None
    quality: str | None = None
    size: str | None = None
    usage: ImageUsage | None = None

    @classmethod
    def _prepare(cls, fields: Fields, unknown: Fields) -> None:
        if fields.get("created") is None:
            fields["created"] = int(time.time())
