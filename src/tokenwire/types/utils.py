"""The types under LiteLLM's module path, for code that imports them from there."""

from . import *  # noqa: F403  (this module only re-exports)
from . import __all__ as __all__
from .chat import (
    ChatCompletionDeltaToolCall as ChatCompletionToolCallChunk,
    Delta as ChatCompletionDeltaChunk,
    Usage as ChatCompletionUsageBlock,
)
