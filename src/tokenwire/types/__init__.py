"""The structs of requests, responses and chunks; msgspec decodes straight into them."""

from ._record import own_fields
from ._response import body_passed_on
from ._source import as_sent, has_source
from .additions import Addition
from .chat import (
    Choices,
    CompletionTokensDetails,
    Delta,
    GenericStreamingChunk,
    Message,
    ModelResponse,
    ModelResponseStream,
    ParsedChoices,
    ParsedMessage,
    ParsedResponse,
    PromptTokensDetails,
    StreamingChoices,
    Usage,
)
from .client_request import Original
from .embeddings import Embedding, EmbeddingResponse
from .images import ImageObject, ImageResponse, ImageUsage
from .logprobs import ChatCompletionTokenLogprob, ChoiceLogprobs, Logprobs, TopLogprob
from .models import Model, ModelList, TokenCount
from .text import TextChoices, TextCompletionResponse
from .tool_calls import (
    ChatCompletionDeltaToolCall,
    ChatCompletionMessageToolCall,
    DeltaFunction,
    Function,
    FunctionCall,
)

__all__ = [
    "Addition",
    "ChatCompletionDeltaToolCall",
    "ChatCompletionMessageToolCall",
    "ChatCompletionTokenLogprob",
    "ChoiceLogprobs",
    "Choices",
    "CompletionTokensDetails",
    "Delta",
    "DeltaFunction",
    "Embedding",
    "EmbeddingResponse",
    "Function",
    "FunctionCall",
    "GenericStreamingChunk",
    "ImageObject",
    "ImageResponse",
    "ImageUsage",
    "Logprobs",
    "Message",
    "Model",
    "ModelList",
    "ModelResponse",
    "ModelResponseStream",
    "Original",
    "ParsedChoices",
    "ParsedMessage",
    "ParsedResponse",
    "PromptTokensDetails",
    "StreamingChoices",
    "TextChoices",
    "TextCompletionResponse",
    "TokenCount",
    "TopLogprob",
    "Usage",
    "as_sent",
    "body_passed_on",
    "has_source",
    "own_fields",
]
