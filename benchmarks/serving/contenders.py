"""The servers and their environments. Only the standard library here: the apps' own modules import the rest."""

from dataclasses import dataclass
from typing import Any

from ..contenders import Group, groups as client_groups


@dataclass(frozen=True)
class Contender:
    """One row of the table.

    Attributes:
        app: the function in `benchmarks.serving.apps` that makes its ASGI app.
        group: the environment it runs in.
        is_gateway: whether it passes on what a remote endpoint sends, instead of what its handler says.
    """

    name: str
    app: str
    group: str = "serving"
    is_gateway: bool = False


_ALL = [
    Contender("bare ASGI app", "bare"),
    Contender("tokenwire", "tokenwire_words"),
    Contender("tokenwire, LiteLLM's handler", "tokenwire_chunks"),
    Contender("Starlette StreamingResponse", "starlette"),
    Contender("sse-starlette", "sse_starlette"),
    Contender("LiteLLM's proxy", "litellm_proxy", "litellm-proxy"),
    Contender("gateway: bare relay", "bare_relay", is_gateway=True),
    Contender("gateway: tokenwire", "tokenwire_gateway", is_gateway=True),
    Contender("gateway: httpx in Starlette", "httpx_gateway", is_gateway=True),
    Contender("gateway: LiteLLM's proxy", "litellm_gateway", "litellm-proxy", is_gateway=True),
]
CONTENDERS = {contender.name: contender for contender in _ALL}
FLOOR, FLOOR_OF_GATEWAYS = "bare ASGI app", "gateway: bare relay"


def groups() -> dict[str, Group]:
    """The environments by name."""
    own: Any = client_groups()["own"].requirements
    packages = ("httptools", "msgspec", "starlette", "sse-starlette", "uvicorn", "uvloop")
    return {
        "serving": Group((*own, "starlette>=0.40", "sse-starlette>=2", "uvicorn>=0.30"), packages),
        "litellm-proxy": Group(
            ("litellm[proxy]", "uvloop", "httptools"), ("litellm", "fastapi", "httptools", "starlette", "uvicorn", "uvloop")
        ),
    }
