"""Which calls of a handler answer a request, and what the server does itself.

The server can't know which of OpenAI's parameters a handler supports, so:

- `prompt`: there is a call for each prompt. The choices of prompt `p` have the indexes from `p * n`.
- `n`: the handler gets it. For each choice that its answer lacks there is another call, without `n`.
- `logprobs`: the handler gets it. An answer with text but without log probabilities is an error.
- `echo`: a method with a parameter of this name gets it. For others, the server puts the prompt in front of the answer.
- `best_of`: a method with a parameter of this name gets it. For others, it must be the same as `n`.

`several` makes the calls.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from tokenwire import BadRequestError, UnsupportedParamsError

from .requests import MOST_CHOICES, MOST_PROMPTS


class Plan(Struct, frozen=True):
    """The calls of a handler that answer one request.

    Attributes:
        keywords: the keywords of every call, without its content.
        content: the name of the content's keyword.
        prompts: the content of each call.
        n: how many choices each prompt gets.
        echo: whether the server puts the prompts in front of the answers.
        logprobs: whether answers must have log probabilities.
    """

    keywords: dict[str, Any]
    content: str
    prompts: list[Any]
    n: int
    echo: bool
    logprobs: bool


def may_take_several(call: Mapping[str, Any], content: str) -> bool:
    """Whether a call asks for something that a handler may not do by itself."""
    if call.get("n") or call.get("best_of") or call.get("echo") or _is_asked(call.get("logprobs")):
        return True
    return content == "prompt" and not isinstance(call[content], str)


def plan_of(call: Mapping[str, Any], content: str, named: frozenset[str]) -> Plan:
    """The calls of a handler that answer a request.

    Args:
        call: the keywords of a single call for the request.
        content: the name of the content's keyword: "messages" or "prompt".
        named: the keywords that the handler's method names.

    Raises:
        BadRequestError: neither the handler nor the server can do what the request asks for; `param` names it.
    """
    keywords = {name: value for name, value in call.items() if name != content}
    n = keywords.get("n") or 1
    if n > MOST_CHOICES:
        raise BadRequestError(f"n must be {MOST_CHOICES} or less, not {n}", param="n")
    logprobs = _is_asked(keywords.get("logprobs"))
    if content == "messages":
        return Plan(keywords, content, [call[content]], n, echo=False, logprobs=logprobs)
    prompts = _prompts_in(call[content])
    if "best_of" not in named:
        _check_best_of(keywords.pop("best_of", None), n)
    echo = "echo" not in named and bool(keywords.pop("echo", None))
    if echo and (logprobs or not all(isinstance(prompt, str) for prompt in prompts)):
        raise UnsupportedParamsError("echo: this model can't repeat token ids, or log probabilities of a prompt", param="echo")
    return Plan(keywords, content, prompts, n, echo, logprobs)


def _is_asked(logprobs: object) -> bool:
    return logprobs is not None and logprobs is not False  # 0 asks for those of the chosen tokens only


def _prompts_in(prompt: str | list[Any]) -> list[Any]:
    kinds = set(map(type, prompt))
    if isinstance(prompt, str) or kinds == {int}:
        return [prompt]
    if len(kinds) > 1 or [] in prompt:
        raise BadRequestError("prompt must be a text, a list of token ids, or a list of one of these", param="prompt")
    if len(prompt) > MOST_PROMPTS:
        raise BadRequestError(f"prompt must be {MOST_PROMPTS} prompts or less, not {len(prompt)}", param="prompt")
    return prompt


def _check_best_of(best_of: int | None, n: int) -> None:
    if best_of is not None and best_of < n:
        raise BadRequestError(f"best_of must not be less than n, which is {n}, not {best_of}", param="best_of")
    if best_of is not None and best_of > n:
        message = f"best_of: this model can't choose among more completions than it returns; leave it out, or make it {n}"
        raise UnsupportedParamsError(message, param="best_of")
