"""The values of arguments. Each function is an argparse `type`, which raises `ArgumentTypeError` with a message of its own."""

import argparse
import math
from collections.abc import Callable
from typing import TypeVar

import msgspec

N = TypeVar("N", int, float)


def number(text: str) -> float:
    """A finite number."""
    value = _parse(float, text, "a number")
    _refuse_unless(math.isfinite(value), "a finite number")
    return value


def seconds(text: str) -> float:
    """A number above 0."""
    value = number(text)
    _refuse_unless(value > 0, "above 0")
    return value


def whole(text: str) -> int:
    """A whole number, 0 or more."""
    value = _parse(int, text, "a whole number")
    _refuse_unless(value >= 0, "0 or more")
    return value


def port(text: str) -> int:
    """A port's number."""
    value = whole(text)
    _refuse_unless(value <= 65535, "65535 or less")
    return value


def count(text: str) -> int:
    """A whole number, 1 or more."""
    value = whole(text)
    _refuse_unless(value > 0, "1 or more")
    return value


def counts(text: str) -> list[int]:
    """Whole numbers, separated by commas."""
    return [count(word) for word in text.split(",")]


def rates(text: str) -> list[float]:
    """Numbers above 0, separated by commas."""
    return [seconds(word) for word in text.split(",")]


def json_object(text: str) -> dict[str, object]:
    """A JSON object."""
    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except msgspec.MsgspecError:
        raise argparse.ArgumentTypeError(f"must be a JSON object, not {text!r:.40}") from None


def _parse(kind: Callable[[str], N], text: str, name: str) -> N:
    try:
        return kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be {name}, not {text!r:.40}") from None


def _refuse_unless(good: bool, words: str) -> None:
    if not good:
        raise argparse.ArgumentTypeError(f"must be {words}")
