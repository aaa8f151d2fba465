"""The structs of requests, responses and chunks; msgspec decodes straight into them."""

from .chat import (
    ChatCompletionDeltaToolCall,
    ChatCompletionMessageToolCall,
    Choices,
    CompletionTokensDetails,
    Delta,
    DeltaFunction,
    Function,
    FunctionCall,
    GenericStreamingChunk,
    Message,
    ModelResponse,
    ModelResponseStream,
    PromptTokensDetails,
    StreamingChoices,
    Usage,
)
from .embeddings import Embedding, EmbeddingResponse
from .images import ImageObject, ImageResponse, ImageUsage
from .models import Model, ModelList
from .text import TextChoices, TextCompletionResponse

__all__ = [
    "ChatCompletionDeltaToolCall",
    "ChatCompletionMessageToolCall",
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
    "Message",
    "Model",
    "ModelList",
    "ModelResponse",
    "ModelResponseStream",
    "PromptTokensDetails",
    "StreamingChoices",
    "TextChoices",
    "TextCompletionResponse",
    "Usage",
]
