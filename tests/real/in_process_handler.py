"""A language model in this process, as a tokenwire handler: llama.cpp through xllamacpp."""
# pyright: reportAttributeAccessIssue=false

from collections.abc import Iterator
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

import xllamacpp

from tokenwire import CustomLLM, CustomLLMError, GenericStreamingChunk


class LlamaCpp(CustomLLM):
    def __init__(self, model_path: str, threads: int = 2) -> None:
        params = xllamacpp.CommonParams()
        params.model.path, params.n_ctx, params.n_parallel = model_path, 4096, 4
        params.cpuparams.n_threads, params.verbosity = threads, 0
        self.llama = xllamacpp.Server(params)

    def streaming(self, *args: Any, messages: Any, optional_params: Any, **kwargs: Any) -> Iterator[GenericStreamingChunk]:
        request = {"stream_options": {"include_usage": True}, **optional_params, "messages": messages, "stream": True}
        chunks, left = SimpleQueue[Any](), Event()

        def generate() -> None:  # llama.cpp calls the callback for each chunk, and stops if it returns True
            try:
                self.llama.handle_chat_completions(request, lambda chunk: chunks.put(chunk) or left.is_set())
            finally:
                chunks.put(None)

        Thread(target=generate).start()
        try:
            for chunk in iter(chunks.get, None):
                if "error" in chunk:
                    raise CustomLLMError(chunk["error"]["code"], chunk["error"]["message"])
                choice: Any = (chunk["choices"] or [{"delta": {}}])[0]  # the last chunk only has the usage
                text, reason = choice["delta"].get("content") or "", choice.get("finish_reason") or ""
                yield GenericStreamingChunk(text, bool(reason), reason, chunk.get("usage"), choice.get("index", 0))
        finally:
            left.set()  # the stream has ended, or the caller has closed it
