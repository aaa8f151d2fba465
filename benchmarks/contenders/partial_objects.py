"""The answer of the measure of partial objects, as a class of pydantic's."""

import json

import pydantic


class Row(pydantic.BaseModel):
    name: str = ""
    note: str = ""
    number: int = 0


class Answer(pydantic.BaseModel):
    rows: list[Row] = []
    text: str = ""


def said(answer: Answer) -> str:
    """The text that the whole object was made of."""
    return json.dumps(answer.model_dump())
