"""The items of an answer while it is encoded, and the growing texts in them."""

from typing import Final

import msgspec

from ...types._source import Fields

_encode = msgspec.json.Encoder().encode
_PROBE: Final = "\x01"
_PROBE_JSON: Final = _encode(_PROBE)[1:-1]


class Kind(msgspec.Struct, frozen=True):
    """A kind of growing text.

    Attributes:
        item, id_prefix: the type of its item, and the prefix of the item's id.
        field: the name of the field with the whole text.
        event: the prefix of the names of its events.
        part: the type of its part; "" if the text is a field of the item itself.
        place: the name of the item's list of such parts.
        part_event: the prefix of the names of the events at the part's begin and end.
        index: the name of the field with the part's index.
    """

    item: str
    id_prefix: str
    field: str
    event: str
    part: str = ""
    place: str = ""
    part_event: str = ""
    index: str = ""


_CONTENT: Final = ("content", "response.content_part", "content_index")
TEXT: Final = Kind("message", "msg_", "text", "response.output_text", "output_text", *_CONTENT)
REFUSAL: Final = Kind("message", "msg_", "refusal", "response.refusal", "refusal", *_CONTENT)
REASONING: Final = Kind("reasoning", "rs_", "text", "response.reasoning_text", "reasoning_text", *_CONTENT)
SUMMARY: Final = Kind(
    "reasoning",
    "rs_",
    "text",
    "response.reasoning_summary_text",
    "summary_text",
    "summary",
    "response.reasoning_summary_part",
    "summary_index",
)
ARGUMENTS: Final = Kind("function_call", "fc_", "arguments", "response.function_call_arguments")
INPUT: Final = Kind("custom_tool_call", "ctc_", "input", "response.custom_tool_call_input")

BEGINNINGS: Final[dict[str, Fields]] = {
    "message": {"status": "in_progress", "role": "assistant", "content": []},
    "reasoning": {"status": "in_progress", "summary": []},
    "function_call": {"status": "in_progress", "arguments": ""},
    "custom_tool_call": {"input": ""},
}


class Item:
    """An item of the answer.

    Attributes:
        number: its `output_index`.
        fields: its fields, without the growing texts.
        texts: its growing texts.
    """

    __slots__ = ("fields", "number", "texts")

    def __init__(self, number: int, fields: Fields) -> None:
        self.number: int = number
        self.fields: Fields = fields
        self.texts: list[Text] = []

    def ended(self, status: str) -> None:
        """Set its status, if items of its type have one."""
        if "status" in self.fields:
            self.fields["status"] = status

    def so_far(self) -> Fields:
        """The item, with its texts so far."""
        shown = dict(self.fields)
        for text in self.texts:
            if text.kind.place:
                shown[text.kind.place] = [*(shown.get(text.kind.place) or ()), text.part()]
            else:
                shown[text.kind.field] = text.whole()
        return shown


class Text:
    """A text that is growing.

    Attributes:
        kind, item: its kind and its item.
        where: the fields by which events identify it.
        before, between, after: the bytes around the sequence number and the piece in an event that adds to it.
        pieces: its pieces as JSON, without the quotes.
        extra: the part's fields other than the text.
        meant: the text instead of the pieces, if these repeat it.
    """

    __slots__ = ("after", "before", "between", "extra", "item", "kind", "meant", "pieces", "where")

    def __init__(self, kind: Kind, item: Item) -> None:
        self.kind: Kind = kind
        self.item: Item = item
        self.where: Fields = {"item_id": item.fields["id"], "output_index": item.number}
        if kind.index:
            self.where[kind.index] = sum(text.kind.place == kind.place for text in item.texts)
        self.extra: Fields = {"annotations": [], "logprobs": []} if kind is TEXT else {}
        self.pieces: list[bytes] = []
        self.meant: str | None = None
        name = f"{kind.event}.delta"
        logprobs: Fields = {"logprobs": []} if kind is TEXT else {}
        inner, after = _encode({**self.where, "delta": _PROBE, **logprobs}).split(_PROBE_JSON)
        self.before: bytes = f'event: {name}\ndata: {{"type":"{name}","sequence_number":'.encode()
        self.between: bytes = b"," + inner[1:]
        self.after: bytes = after + b"\n\n"
        item.texts.append(self)

    def whole(self) -> object:
        """The whole text so far, to be encoded."""
        return msgspec.Raw(b'"%b"' % b"".join(self.pieces)) if self.meant is None else self.meant

    def part(self) -> Fields:
        """Its part of the item."""
        return {"type": self.kind.part, self.kind.field: self.whole(), **self.extra}
