"""A small soak; `python -m tests.faults.soak` is the large one."""

from collections.abc import Iterator

import pytest

from .soak import FAULTS, Serving, plan, soak


@pytest.fixture(scope="module")
def server() -> Iterator[Serving]:
    with Serving(pace=0.01) as server:
        yield server


@pytest.mark.anyio
async def test_streams_with_faults_among_them_lose_nothing_and_leave_nothing(server: Serving) -> None:
    figures = await soak(server, streams=50, seconds=0.2)
    assert figures.wrong == []
    assert figures.leftovers() == []
    assert figures.streams.keys() > {"none"}


def test_every_fault_has_its_turn() -> None:
    assert {plan(number).fault for number in range(1000)} == {"", *FAULTS}
