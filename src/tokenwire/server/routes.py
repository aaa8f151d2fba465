"""All routes of the endpoint. Each path is written only here: the app, the labels of the metrics and the description are made
from this list.

A new endpoint is one more route, with a struct that checks its requests (`requests`) and encoders for its answers
(`bodies`, `events`).
"""

from collections.abc import Callable, Mapping

import msgspec

from tokenwire import AsyncClient, __version__

from ..wire.messages.asked import (
    CountRequest,
    MessagesRequest,
    chat_keywords as message_keywords,
    own as own_message_request,
    plain,
)
from ..wire.responses.request import (
    InputTokensRequest,
    ResponsesRequest,
    chat_keywords as response_keywords,
    own as own_response_request,
    plain as plain_response_call,
)
from .bodies import chat_body, embedding_body, image_body, text_body
from .errors import Refusal
from .events import ChatEvents, TextEvents
from .messages import MessagesEvents, message_body, message_tokens_body, messages_refusal
from .openapi import (
    CHAT_COMPLETION,
    COMPLETION,
    EMBEDDINGS,
    FIGURES,
    HEALTH,
    IMAGES,
    MESSAGE,
    MESSAGE_ERROR,
    MESSAGE_EVENTS,
    MESSAGE_TOKENS,
    MODEL,
    MODEL_LIST,
    RESPONSE,
    RESPONSE_EVENTS,
    RESPONSE_TOKENS,
    VERSION,
    describe,
)
from .pages import page_of
from .requests import ChatRequest, EmbeddingRequest, ImageEditRequest, ImageRequest, TextRequest
from .responses import ResponsesEvents, response_body, response_tokens_body
from .route import ID_HEADERS, JSON, ModelCall, Route, plain_refusal


def _json(value: object) -> tuple[bytes, str]:
    return msgspec.json.encode(value), JSON


def refusal_at(path: str, headers: Mapping[bytes, bytes]) -> Callable[[Refusal, str], tuple[int, bytes]]:
    """The encoder of errors for a path without a route: that of the API to which the path or the headers belong."""
    is_messages = path.startswith("/messages/") or b"anthropic-version" in headers
    return messages_refusal if is_messages else plain_refusal


_ALIVE = _json({"status": "ok"})
_DOCS, _PAGE = page_of("docs.html"), page_of("page.html")

ROUTES = (
    Route(
        "POST",
        "/chat/completions",
        ModelCall(ChatRequest, "messages", AsyncClient.acompletion, chat_body, ChatEvents, dialect="chat"),
        "createChatCompletion",
        "Continue a conversation.",
        CHAT_COMPLETION,
    ),
    Route(
        "POST",
        "/completions",
        ModelCall(TextRequest, "prompt", AsyncClient.atext_completion, text_body, TextEvents, dialect="text"),
        "createCompletion",
        "Continue one or several texts.",
        COMPLETION,
    ),
    Route(
        "POST",
        "/responses",
        ModelCall(
            ResponsesRequest,
            "messages",
            AsyncClient.acompletion,
            response_body,
            ResponsesEvents,
            response_keywords,
            RESPONSE_EVENTS,
            plain_response_call,
            own_response_request,
            dialect="responses",
        ),
        "createResponse",
        "Answer a conversation.",
        RESPONSE,
    ),
    Route(
        "POST",
        "/responses/input_tokens",
        ModelCall(
            InputTokensRequest,
            "messages",
            AsyncClient.acount_tokens,
            response_tokens_body,
            keywords=response_keywords,
            plain=plain_response_call,
            own=own_response_request,
            dialect="responses",
        ),
        "countResponseTokens",
        "Count the tokens of a prompt, where the model can.",
        RESPONSE_TOKENS,
    ),
    Route(
        "POST",
        "/messages",
        ModelCall(
            MessagesRequest,
            "messages",
            AsyncClient.acompletion,
            message_body,
            MessagesEvents,
            message_keywords,
            MESSAGE_EVENTS,
            plain,
            own_message_request,
            dialect="messages",
        ),
        "createMessage",
        "Continue a conversation of content blocks.",
        MESSAGE,
        refusal=messages_refusal,
        failure=MESSAGE_ERROR,
        id_headers=(*ID_HEADERS, b"request-id"),
    ),
    Route(
        "POST",
        "/messages/count_tokens",
        ModelCall(
            CountRequest,
            "messages",
            AsyncClient.acount_tokens,
            message_tokens_body,
            keywords=message_keywords,
            plain=plain,
            own=own_message_request,
            dialect="messages",
        ),
        "countMessageTokens",
        "Count the tokens of a prompt, where the model can.",
        MESSAGE_TOKENS,
        refusal=messages_refusal,
        failure=MESSAGE_ERROR,
        id_headers=(*ID_HEADERS, b"request-id"),
    ),
    Route(
        "POST",
        "/embeddings",
        ModelCall(EmbeddingRequest, "input", AsyncClient.aembedding, embedding_body),
        "createEmbedding",
        "Turn texts into vectors.",
        EMBEDDINGS,
    ),
    Route(
        "POST",
        "/images/generations",
        ModelCall(ImageRequest, "prompt", AsyncClient.aimage_generation, image_body),
        "createImage",
        "Make images.",
        IMAGES,
    ),
    Route(
        "POST",
        "/images/edits",
        ModelCall(ImageEditRequest, "prompt", AsyncClient.aimage_edit, image_body, is_form=True),
        "editImage",
        "Change images, or make new ones from them.",
        IMAGES,
    ),
    Route(
        "GET", "/models", lambda app, _: _json(app.models.entries()), "listModels", "The models that are served.", MODEL_LIST
    ),
    Route(
        "GET",
        "/models/{model}",
        lambda app, name: _json(app.models.entry(app.models.find(name))),
        "retrieveModel",
        "One of the models that are served.",
        MODEL,
    ),
    Route("GET", "/health", lambda *_: _ALIVE, "health", "Whether the server runs.", HEALTH, needs_key=False),
    Route("GET", "/ping", lambda *_: _ALIVE, "ping", "Whether the server runs; needs a key.", HEALTH),
    Route("GET", "/version", lambda *_: _json({"version": __version__}), "version", "The version of this server.", VERSION),
    Route("GET", "/openapi.json", lambda app, _: _json(describe(app)), "describe", "This description.", None),
    Route(
        "GET", "/docs", _DOCS.answer, "docs", "This description, as a web page.", None, needs_key=False, headers=_DOCS.headers
    ),
)

# The answer at `/`: some clients check there whether a server runs.
FRONT = Route("GET", "/", lambda *_: _json({"name": "tokenwire"}), "front", "The name of this server.", None, needs_key=False)
PAGE = Route("GET", "/", _PAGE.answer, "page", "A page to try the models on.", None, needs_key=False, headers=_PAGE.headers)

METRICS = Route("GET", "/metrics", lambda app, _: app.metrics(), "metrics", "Metrics, as Prometheus reads them.", FIGURES)
