"""The answers of `/images/generations`."""

import os
import time
from typing import IO, Any, ClassVar, TypeAlias

from msgspec import field

from ._record import HasProviderFields, OpenRecord, hidden
from ._response import Response
from ._source import Fields, Path

# A file to send: its content, or a tuple of a name, the content, and perhaps its content type.
Contents: TypeAlias = "bytes | IO[bytes] | os.PathLike[str]"
File: TypeAlias = "Contents | tuple[str | None, Contents] | tuple[str | None, Contents, str | None]"


class ImageObject(OpenRecord, HasProviderFields):
    """One image.

    Attributes:
        b64_json: its bytes as base64 text; None if it has a URL.
        url: its URL; None if it has bytes.
        revised_prompt: the prompt as changed by the model, if the server sent that.
    """

    b64_json: str | None = None
    url: str | None = None
    revised_prompt: str | None = None
    _provider_specific_fields: Fields | None = hidden(default=None, alias="provider_specific_fields")

    _place: ClassVar[Path] = ("data", 0)


class ImageUsage(OpenRecord):
    """The tokens that an image call used.

    Attributes:
        input_tokens: tokens of the prompt.
        output_tokens: tokens of the images.
        total_tokens: the sum of both.
        input_tokens_details: the prompt's tokens by kind, as the server sent them.
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
        background: "transparent" or "opaque", if the server sent it; the same holds for the next three.
        output_format: such as "png".
        quality: such as "high".
        size: such as "1024x1024".
        usage: the tokens used; None if the server did not send them.
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
