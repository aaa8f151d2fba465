"""JSON answers of a given size, for the measure of partial objects. Standard library alone."""

import json

DELTA = 4  # characters in each piece of a stream
WORDS = "the model says this in so many words and goes on".split()


def text_of(kilobytes: int, shape: str) -> str:
    """About so many KB: "rows" of many short strings, or one "long" string."""
    length = kilobytes * 1000
    if shape == "long":
        sentence = " ".join(WORDS) + ". "
        return json.dumps({"rows": [], "text": sentence * (length // len(sentence))})
    rows = [
        {"name": f"{WORDS[place % 11]} {place}", "note": " ".join(WORDS[:5]), "number": place} for place in range(length // 62)
    ]
    return json.dumps({"rows": rows, "text": "end"})


def pieces_of(kilobytes: int, shape: str) -> list[str]:
    text = text_of(kilobytes, shape)
    return [text[start : start + DELTA] for start in range(0, len(text), DELTA)]
