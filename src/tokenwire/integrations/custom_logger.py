"""LiteLLM's base class for loggers of one's own.

By its page "Custom Callbacks" of October 2026. A logger need not have this base: any object with one of the methods does.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any


class CustomLogger:
    """Is told of calls: an entry of `callbacks`. Every method may be left out, and does nothing then.

    A method that begins with `async_` is awaited, for five seconds at most, and where it is there, the plain one of the same
    name is not called. A plain one runs in a thread of its own, after the outcome, but for `log_pre_api_call`: that runs
    before the first attempt is sent, and should be quick. An exception in one is logged, and changes nothing. None is called
    for a chunk.

    Each gets by keyword what LiteLLM gives it:
        model: the model, without its provider.
        messages: the call's.
        kwargs: what is known of the call: `model`, `messages`, `stream`, `optional_params`, `litellm_params`, `call_type`,
            `litellm_call_id`, `custom_llm_provider`, `start_time`, `end_time`, `completion_start_time`; `exception` after a
            failure, `complete_streaming_response` after a stream that is complete; and `outcome`, tokenwire's own: "complete",
            "truncated", "error" or "cancelled". `response_cost` is None, for nothing is counted in money. Keys are not in it.
        response_obj: the answer; after a failure what has been assembled of it, or None.
        start_time, end_time: naive datetimes in local time, as LiteLLM's are.
    """

    def log_pre_api_call(self, model: str, messages: Sequence[Any], kwargs: Mapping[str, Any]) -> object:
        """A call is about to be sent."""

    async def async_log_pre_api_call(self, model: str, messages: Sequence[Any], kwargs: Mapping[str, Any]) -> object:
        """The same, awaited before it is sent."""

    def log_post_api_call(
        self, kwargs: Mapping[str, Any], response_obj: object, start_time: datetime, end_time: datetime
    ) -> object:
        """A call is over, whichever way."""

    def log_stream_event(
        self, kwargs: Mapping[str, Any], response_obj: object, start_time: datetime, end_time: datetime
    ) -> object:
        """A stream is complete; called once, and not for each chunk."""

    async def async_log_stream_event(
        self, kwargs: Mapping[str, Any], response_obj: object, start_time: datetime, end_time: datetime
    ) -> object:
        """The same, awaited."""

    def log_success_event(
        self, kwargs: Mapping[str, Any], response_obj: object, start_time: datetime, end_time: datetime
    ) -> object:
        """A call is complete."""

    async def async_log_success_event(
        self, kwargs: Mapping[str, Any], response_obj: object, start_time: datetime, end_time: datetime
    ) -> object:
        """The same, awaited."""

    def log_failure_event(
        self, kwargs: Mapping[str, Any], response_obj: object, start_time: datetime, end_time: datetime
    ) -> object:
        """A call failed, was truncated, or its caller left it."""

    async def async_log_failure_event(
        self, kwargs: Mapping[str, Any], response_obj: object, start_time: datetime, end_time: datetime
    ) -> object:
        """The same, awaited."""
