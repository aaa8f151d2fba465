"""The built-in `text-completion-openai` provider: OpenAI's older `/completions`."""

from collections.abc import Mapping
from typing import Any

from ..types import TextCompletionResponse
from .openai import OpenAI, _params


class OpenAITextCompletion(OpenAI):
    """Calls `/completions`. Messages become the prompt: one message its text, several a text each."""

    provider = "text-completion-openai"
    path = "/completions"
    whole = TextCompletionResponse

    def completion_body(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The request's JSON, with the caller's own `prompt` where `text_completion` passed one."""
        params = _params(kwargs)
        prompt = params.pop("prompt", kwargs.get("prompt"))
        if prompt is None:
            prompts = [_text_of(message.get("content")) for message in kwargs["messages"]]
            prompt = prompts[0] if len(prompts) == 1 else prompts
        return {"model": kwargs["model"], "prompt": prompt, **params}


def _text_of(content: Any) -> Any:
    """A message's text; a list of content parts is joined, a list of token ids is passed on."""
    if isinstance(content, list) and content and isinstance(content[0], dict):
        return "".join(part.get("text") or "" for part in content)
    return "" if content is None else content
