"""Every fault of the matrix comes to what the matrix says, on every event loop, and leaves nothing behind.

All cases of one loop run at once, as one test's fixture, so that the waiting in them costs its time only once.
"""

import gc
import importlib.util
from typing import Any

import pytest

from .matrix import FAULTS
from .running import LOOPS, Case, Ending, cases_of, expected, name_of, open_question, open_sockets, run

CASES = cases_of(FAULTS)


@pytest.fixture(scope="module", params=list(LOOPS))
def endings(request: pytest.FixtureRequest) -> dict[str, Ending | Exception]:
    if request.param == "uvloop" and importlib.util.find_spec("uvloop") is None:
        pytest.skip("there is no uvloop on this platform")
    before = open_sockets()
    endings = run(request.param, CASES)
    gc.collect()
    assert open_sockets() - before == set(), "sockets left open"
    return endings


def parameter(case: Case) -> Any:
    reason = open_question(case)
    return pytest.param(case, id=name_of(case), marks=pytest.mark.xfail(reason=reason) if reason else ())


@pytest.mark.parametrize("case", list(map(parameter, CASES)))
def test_a_fault_comes_to_what_the_matrix_says(endings: dict[str, Ending | Exception], case: Case) -> None:
    ending = endings[name_of(case)]
    if isinstance(ending, Exception):
        raise ending
    assert ending == expected(case)


def test_there_are_enough_of_them_and_no_two_have_one_name() -> None:
    names = [fault.name for fault in FAULTS]
    assert len(names) == len(set(names)) >= 60
