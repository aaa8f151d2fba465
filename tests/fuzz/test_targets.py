"""What is fuzzed holds for the seeds, and for what is made of their pieces; `python -m tests.fuzz` goes on from there."""

import pytest
from hypothesis import given, settings, strategies as st

from .targets import SEEDS, TARGETS, TOKENS


@pytest.mark.parametrize("target", TARGETS)
def test_the_seeds(target: str) -> None:
    for seed in SEEDS[target]:
        for size in (0, 6, 63):
            for choice in range(8):
                TARGETS[target](bytes([size, choice]) + seed)


@st.composite
def inputs(draw: st.DrawFn, target: str) -> bytes:
    """A seed with the words of its language put in, and some bytes taken out."""
    data = bytearray(draw(st.sampled_from(SEEDS[target])))
    for place, taken, put in draw(
        st.lists(
            st.tuples(st.integers(0, 400), st.integers(0, 9), st.sampled_from(TOKENS[target]) | st.binary(max_size=3)),
            max_size=5,
        )
    ):
        data[place : place + taken] = put
    return draw(st.binary(min_size=2, max_size=2)) + data


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=60)
@given(data=st.data())
def test_what_is_made_of_them(target: str, data: st.DataObject) -> None:
    TARGETS[target](data.draw(inputs(target)))
