"""The base class for decoders of other APIs' events."""

from typing import Any, ClassVar

from ..exceptions import APIError
from ..types._record import build, copy_fields
from ..types._source import Path
from ..types.chat import GenericStreamingChunk, ModelResponse, ModelResponseStream
from .assemble import Assembler
from .convert import Converter, Shape, response_chunks, whole_class

_FLAT = build(GenericStreamingChunk)


class TranslatingDecoder:
    """The state of an `EventDecoder` whose events become chunks of chat completions."""

    last_event: ClassVar[str]
    reads_names: ClassVar[bool] = False  # each event has its type in its data

    def __init__(self, shape: Shape, model: str) -> None:
        self.assembler: Assembler = Assembler(whole_class(shape))
        self.done: bool = False
        self.had_content: bool = False
        self.error: APIError | None = None
        self.unread: int = 0
        self.bare_text: bool = False
        self.odd: set[Path] = set()
        self._is_flat: bool = shape is GenericStreamingChunk
        self._converter: Converter | None = None if shape is ModelResponseStream else Converter(shape, model)
        self._model: str = model
        self._head: ModelResponseStream | None = None  # the common fields of all chunks
        self._flat: GenericStreamingChunk = _FLAT
        self._calls: int = 0

    def _begin_with(self, head: ModelResponseStream) -> None:
        self._head = head
        self._flat = copy_fields(_FLAT)
        self._flat.id, self._flat.model = head.id, head.model

    def _take(self, chunk: ModelResponseStream) -> list[Any]:
        """Add a chunk that is not a common one to the answer. Returns it in the caller's shape."""
        self.assembler.add(chunk)
        return [chunk] if self._converter is None else self._converter.convert(chunk)

    def _take_whole(self, answer: ModelResponse) -> list[Any]:
        """Add a whole answer that was sent instead of events."""
        self.done = True
        return [piece for chunk in response_chunks(answer) for piece in self._take(chunk)]
