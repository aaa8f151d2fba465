"""What users' tests and ours share: an endpoint on a real socket that answers, and misbehaves, as told.

::

    with Endpoint([Reply(events=["Hel", "lo"]), Reply(status=429, json={"error": "slow down"})]) as endpoint:
        reply = completion("openai/m", messages, api_base=endpoint.url, api_key="none")
    assert endpoint.requests[0].json()["model"] == "m"

It runs in a thread of its own, so sync code, asyncio and trio can all be tested against it.
"""

from ._endpoint import Endpoint
from ._payloads import chunk, chunks, completion
from ._script import Received, Reply

__all__ = ["Endpoint", "Received", "Reply", "chunk", "chunks", "completion"]
