#!/usr/bin/env bash
# openai 3.57.0 (on httpx2 2.16.2): a stream that was read to its end and closed still leaves three async generators open.
#
# One would expect that `async for` to the end, and then `await stream.close()`, leaves nothing to be cleaned up. But the
# stream stops at `[DONE]` and closes the response, not the generators through which it read: `AsyncStream._iter_events`,
# `SSEDecoder.aiter_bytes` and `Response.aiter_bytes` are suspended when the stream object goes, and the event loop's
# finalizer hook has to close each. On asyncio that is three calls of call_soon_threadsafe a stream, each a write to the
# loop's own socket; on trio each comes with a ResourceWarning.
#
# Seen:  left to the finalizer: AsyncStream._iter_events, Response.aiter_bytes, SSEDecoder.aiter_bytes
#
# Installs the packages into a temporary folder, and fails if the behaviour is another.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check 'openai==3.57.0' 'httpx2==2.16.2'
"$folder/venv/bin/python" - <<'PY'
import asyncio
import json
import sys

import httpx2
import openai

CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def event(delta: dict, reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return b"data: " + json.dumps({**CHUNK, "choices": [choice]}).encode() + b"\n\n"


BODY = event({"role": "assistant", "content": "a"}) + event({}, "stop") + b"data: [DONE]\n\n"


def answer(request: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=BODY)


async def main() -> None:
    left: list[str] = []
    hooks = sys.get_asyncgen_hooks()

    def finalize(generator):
        left.append(generator.__qualname__)
        hooks.finalizer(generator)

    sys.set_asyncgen_hooks(finalizer=finalize)
    http_client = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
    async with openai.AsyncOpenAI(api_key="any", base_url="http://model.example/v1", http_client=http_client) as client:
        messages = [{"role": "user", "content": "Hi"}]
        stream = await client.chat.completions.create(model="m", messages=messages, stream=True)
        async for _ in stream:
            pass
        await stream.close()
        del stream
    for _ in range(20):  # each is closed in a turn of the loop of its own
        await asyncio.sleep(0)
    print("left to the finalizer:", ", ".join(sorted(left)))
    assert sorted(left) == ["AsyncStream._iter_events", "Response.aiter_bytes", "SSEDecoder.aiter_bytes"]


asyncio.run(main())
PY
