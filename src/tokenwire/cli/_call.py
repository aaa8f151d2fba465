"""What the commands that call a model share: the keywords for their options, and the report of a failure."""

import argparse
import os
from collections.abc import Mapping
from typing import Any

from tokenwire import get_llm_provider
from tokenwire.exceptions import APIError, BadRequestError, TokenwireError, UnknownProviderError

from ._terminal import UsageError, complain

PARAMS = {"api_base": "--api-base", "api_key": "--api-key", "model": "--model"}
# Options that not every command has.
FURTHER = {
    "dimensions": "dimensions",
    "max_tokens": "max_tokens",
    "retries": "num_retries",
    "temperature": "temperature",
    "timeout": "timeout",
}


def call_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The keywords of every call.

    Raises:
        UsageError: as `provider_of`.
    """
    call: dict[str, Any] = {"model": arguments.model, "api_base": arguments.api_base, "api_key": arguments.api_key}
    call |= {keyword: getattr(arguments, option) for option, keyword in FURTHER.items() if hasattr(arguments, option)}
    return call | provider_of(arguments)


def provider_of(arguments: argparse.Namespace) -> dict[str, str]:
    """The keyword that names the model's provider, if the model's name does not.

    Raises:
        UsageError: no provider is known for the model.
    """
    try:
        get_llm_provider(arguments.model)
    except UnknownProviderError as error:
        if not (arguments.api_base or os.environ.get("OPENAI_BASE_URL") or os.environ.get("OPENAI_API_BASE")):
            unknown = f"no provider is known for the model {arguments.model!r}"
            if "Did you mean" in error.message:
                raise UsageError(f"{unknown}. {error.message.partition('. ')[2]}") from None
            raise UsageError(
                f"{unknown}: give its address with --api-base URL, or name it openai/{arguments.model} if it is OpenAI's"
            ) from None
        return {"custom_llm_provider": "openai"}  # nearly every server speaks OpenAI's API
    except BadRequestError as error:
        raise UsageError(in_options(error.message)) from None
    return {}


def in_options(message: str) -> str:
    """A message of the library, with options of the command line in place of parameters."""
    for param, option in PARAMS.items():
        message = message.replace(f"{param}=", option).replace(f"{param} must", f"{option} must")
    return message


def report(error: TokenwireError, call: Mapping[str, Any]) -> None:
    """Print why a call failed, without its key.

    Raises:
        UsageError: an argument was wrong, and nothing was sent.
    """
    if isinstance(error, BadRequestError) and error.response is None and error.fault == "caller":
        raise UsageError(in_options(error.message)) from None
    status = f"HTTP {error.status_code}: " if isinstance(error, APIError) and error.response is not None else ""
    message = error.message if isinstance(error, APIError) and error.fault == "caller" else str(error)
    words = in_options(f"{status}{message}")
    for note in getattr(error, "__notes__", ()):  # where the request went
        words = f"{words.rstrip('. ')}. {note}"
    complain(words, secret=call.get("api_key"))
