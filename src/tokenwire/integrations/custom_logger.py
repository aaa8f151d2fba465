"""LiteLLM's base class for custom loggers.

As documented on its page "Custom Callbacks" in October 2026. A logger need not derive from it: any object with one of these
methods can be used.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any


class CustomLogger:
    """Is notified of calls: an entry of `callbacks`. A subclass defines the methods that it needs.

    A method whose name begins with `async_` is awaited, for at most five seconds; if it is defined, the sync method of the same
    name is not called. Sync methods run in a separate thread after the call, except `log_pre_api_call`, which runs before the
    first attempt is sent and must be quick. An exception in a method is logged, and does not affect the call. No method is
    called for chunks.

    All get the keywords that LiteLLM passes:
        model: the model, without its provider.
        messages: the call's messages.
        kwargs: details of the call: `model`, `messages`, `stream`, `optional_params`, `litellm_params`, `call_type`,
            `litellm_call_id`, `custom_llm_provider`, `start_time`, `end_time`, `completion_start_time`; `exception` after a
            failure, `complete_streaming_response` after a stream that is complete; and `outcome`, tokenwire's own: "complete",
            "truncated", "error" or "cancelled". `response_cost` is None, as prices are not calculated. API keys are not
            included.
        response_obj: the answer; after a failure the part that arrived, or None.
        start_time, end_time: naive datetimes in local time, as in LiteLLM.
    """

    def log_pre_api_call(self, model: str, messages: Sequence[Any], kwargs: Mapping[str, Any]) -> object:
        """A call is about to be sent."""

    async def async_log_pre_api_call(self, model: str, messages: Sequence[Any], kwargs: Mapping[str, Any]) -> object:
        """The same, awaited before it is sent."""

    def log_post_api_call(
        self, kwargs: Mapping[str, Any], response_obj: object, start_time: datetime, end_time: datetime
    ) -> object:
        """A call has ended, in any way."""

    def log_stream_event(
        self, kwargs: Mapping[str, Any], response_obj: object, start_time: datetime, end_time: datetime
    ) -> object:
        """A stream is complete. Called once for each stream, not for each chunk."""

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
        """A call failed, was truncated, or was cancelled by its caller."""

    async def async_log_failure_event(
        self, kwargs: Mapping[str, Any], response_obj: object, start_time: datetime, end_time: datetime
    ) -> object:
        """The same, awaited."""
