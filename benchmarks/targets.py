"""The targets for tokenwire: ratios within one run. The only numbers in this folder that were not measured."""

from dataclasses import dataclass

from .kinds import KINDS


@dataclass(frozen=True)
class Target:
    """A limit on one metric of one contender.

    Attributes:
        against: "floor" for the contender's own floor, another cell's name, or "" for the value itself.
        cells: those it holds for.
        worst: whether a report names only the worst of them.
    """

    words: str
    measure: str
    metric: str
    cells: tuple[str, ...]
    contenders: tuple[str, ...]
    most: float
    against: str = "floor"
    worst: bool = False


ASYNCIO = ("tokenwire", "tokenwire astreaming")
UVLOOP = tuple(f"{name} uvloop" for name in ASYNCIO)
TRIO = tuple(f"{name} trio" for name in ASYNCIO)

# Whatever a server streams costs little more than text; and what sync code reads, handlers yield and servers encode costs at
# most twice what text costs there.
_OTHER_KINDS = tuple(kind for kind in KINDS if kind not in ("text", "obfuscation"))
_KINDS = (
    Target("kinds", "kinds_burst", "us_per_chunk", ("text",), ASYNCIO + UVLOOP + TRIO, 0.9),
    Target("kinds", "kinds_burst", "us_per_chunk", ("obfuscation",), ASYNCIO + UVLOOP + TRIO, 1.1),
    Target("kinds", "kinds_burst", "us_per_chunk", _OTHER_KINDS, ASYNCIO + UVLOOP + TRIO, 1.8, worst=True),
    *(
        Target(words, measure, "us_per_chunk", _OTHER_KINDS, ASYNCIO + UVLOOP + TRIO, 2, against="text", worst=True)
        for words, measure in (
            ("kinds, sync, of text", "kinds_sync"),
            ("kinds, handler, of text", "kinds_handler"),
            ("kinds, server, of text", "kinds_server"),
        )
    ),
)

TARGETS = (
    Target("burst", "burst", "us_per_chunk", ("",), ASYNCIO + UVLOOP, 1.6),
    Target("paced", "paced", "us_per_chunk", ("plain", "TLS"), ASYNCIO + UVLOOP + TRIO, 1.6),
    Target("first token", "first_token", "p50_us", ("",), ASYNCIO + UVLOOP, 3.5),
    Target("first token, CPU", "first_token", "us_per_call", ("",), ASYNCIO + UVLOOP, 3.5),
    Target("in flight", "in_flight", "us_per_request", ("64", "512", "2048", "4096"), ASYNCIO + UVLOOP, 6),
    Target(
        "in flight: openai over tokenwire, of openai", "in_flight", "us_per_request", ("512",), ("openai over tokenwire",), 0.25
    ),
    Target("in flight: flat", "in_flight", "us_per_request", ("4096",), ASYNCIO + UVLOOP, 1.3, against="64"),
    Target("memory", "memory", "kb_per_stream", ("1000", "5000"), ASYNCIO + UVLOOP, 3),
    Target("import", "imports", "ms", ("",), ("tokenwire",), 80, against=""),
    Target("import, modules", "imports", "modules", ("",), ("tokenwire",), 200, against=""),
    *_KINDS,
)
