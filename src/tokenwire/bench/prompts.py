"""The prompts: given ones, those in a file, or generated words.

A file has lines of OpenAI's batch format (or plain ones with "messages" or "prompt", as for `tokenwire batch`), or is in
ShareGPT's format: a JSON list of objects with "conversations", of which the first turn is used.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias, cast

import msgspec

from ..exceptions import refused
from ..jobs.files import numbered, open_input
from ..jobs.lines import Line, Reader
from .record import Prompt

Prompts: TypeAlias = Callable[[int], Prompt]

BODIES = 64  # generated in advance; each request puts its own number before one

# Short and common words, nearly all of them a single token in every vocabulary.
WORDS = """
    the of and to in is you that it he was for on are as with his they at be this have from or one had by word but not what
    all were we when your can said there use an each which she do how their if will up other about out many then them these so
    some her would make like him into time has look two more write go see number no way could people my than first water been
    call who oil its now find long down day did get come made may part over new sound take only little work know place year
    live me back give most very after thing our just name good sentence man think say great where help through much before
""".split()


def given(texts: Sequence[str]) -> list[Prompt]:
    """A prompt for each text."""
    return [_user(text) for text in texts]


def read(path: str) -> list[Prompt]:
    """The prompts of a file.

    Raises:
        BadRequestError: it can't be read, or a line of it is wrong; the message says which.
    """
    with open_input(path) as file:
        lines = [line for _, several in numbered(file, path) for line in several]
    start = next((line.lstrip() for line in lines if line.strip()), b"")
    if not start:
        raise refused("prompts", f"{path} is empty: it must have a prompt on each line, or ShareGPT's JSON")
    return _conversations(path, b"".join(lines)) if start.startswith(b"[") else _lines(path, lines)


def cycled(prompts: Sequence[Prompt]) -> Prompts:
    """The prompts in order, repeatedly."""
    return lambda number: prompts[number % len(prompts)]


def made(words: int, seed: int) -> Prompts:
    """Generated prompts, no two of which begin alike, so that a server's prefix cache does not help.

    Args:
        words: the number of words in each.
        seed: of the generator.
    """
    chance = random.Random(seed)  # noqa: S311
    bodies = [" ".join(chance.choices(WORDS, k=words - 1)) for _ in range(BODIES)]
    return lambda number: _user(f"{number} {bodies[number % BODIES]}".rstrip())


def _user(text: str) -> Prompt:
    return Prompt([{"role": "user", "content": text}])


def _lines(path: str, lines: Iterable[bytes]) -> list[Prompt]:
    reader = Reader(path, model="m", number_ids=True)
    found = [line for number, data in enumerate(lines, 1) if (line := reader.read(number, data)) is not None]
    return [_prompt(reader, line) for line in found]


def _prompt(reader: Reader, line: Line) -> Prompt:
    if line.method != "acompletion" or line.api:
        raise reader.wrong(
            line.number, "must be a chat completion, as only these are measured: give it messages, or a prompt of text"
        )
    params = {name: value for name, value in line.params.items() if name not in ("model", "stream", "stream_options")}
    return Prompt(cast("list[dict[str, object]]", line.content), params)


class _Turn(msgspec.Struct):
    value: str


class _Conversation(msgspec.Struct):
    conversations: list[_Turn] = []


def _conversations(path: str, data: bytes) -> list[Prompt]:
    try:
        found = msgspec.json.decode(data, type=list[_Conversation])
    except msgspec.MsgspecError as error:
        words = f'{path} must be a JSON list of objects with "conversations", turns with "value"; {error}'
        raise refused("prompts", words) from None
    prompts = given([each.conversations[0].value for each in found if each.conversations])
    if not prompts:
        raise refused("prompts", f"{path} has no conversation with a turn")
    return prompts
