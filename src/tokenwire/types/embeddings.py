"""The answers of `/embeddings`."""

import sys
from array import array
from typing import Any, ClassVar

import msgspec
from msgspec import field

from ._record import OpenRecord
from ._response import Response
from ._source import Fields, Path
from .chat import Usage


class Embedding(OpenRecord):
    """One input's vector.

    Attributes:
        embedding: a list of floats; base64 text of little-endian 32-bit floats if `encoding_format="base64"` was requested
            and the server supports it; from some servers a list of vectors, one for each token, or vectors by their types.
        index: the position of its input; set from the order if the server did not number all of them. None only in a
            record outside a response.
        object: "embedding".
    """

    embedding: list[Any] | str | Fields = field(default_factory=list)
    index: int | None = None
    object: str | None = "embedding"

    _place: ClassVar[Path] = ("data", 0)

    def array(self) -> "array[float]":
        """The vector as an array of 32-bit floats, which `memoryview(...)` and `numpy.asarray(...)` read without a copy.

        With `encoding_format="base64"` no Python floats are created. A list, from a server that supports no other format,
        is converted.

        Raises:
            ValueError: it is not a single vector of numbers; `embedding` has the value as sent.
        """
        if isinstance(self.embedding, str):
            return _floats(msgspec.convert(self.embedding, bytes))  # a third of binascii's time
        if isinstance(self.embedding, dict) or any(isinstance(number, list) for number in self.embedding):
            raise ValueError("not one vector but several: see `embedding`")
        try:
            return array("f", self.embedding)
        except TypeError as error:
            raise ValueError(f"not a vector of numbers: {error}") from None


def _floats(data: bytes) -> "array[float]":
    floats = array("f")
    floats.frombytes(data)
    if sys.byteorder == "big":
        floats.byteswap()
    return floats


class EmbeddingResponse(Response):
    """The vectors of one call.

    Attributes:
        model: the server's name of the model that answered.
        data: a vector for each input, in the inputs' order.
        object: "list".
        usage: the tokens used; None if the server did not send them.
    """

    model: str | None = None
    data: list[Embedding] = field(default_factory=list)
    object: str | None = "list"
    usage: Usage | None = None

    def __post_init__(self) -> None:
        numbers = {item.index for item in self.data}
        if None in numbers or len(numbers) < len(self.data):
            for place, item in enumerate(self.data):
                item.index = place
