"""Every fault of the matrix comes to what the matrix says, on every event loop, and leaves nothing behind.

All cases of one loop run at once, as one test's fixture, so that the waiting in them costs its time only once.
"""

import gc
import importlib.util
import os
from typing import Any

import pytest

from .matrix import FAULTS
from .running import LOOPS, Case, Ending, cases_of, expected, name_of, open_question, run

CASES = cases_of(FAULTS)


@pytest.fixture(scope="module", params=list(LOOPS))
def endings(request: pytest.FixtureRequest) -> dict[str, Ending | Exception]:
    if request.param == "uvloop" and importlib.util.find_spec("uvloop") is None:
        pytest.skip("there is no uvloop on this platform")
    return run(request.param, CASES)


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


def test_nothing_is_left_of_them(endings: dict[str, Ending | Exception]) -> None:
    gc.collect()
    for descriptor in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []:
        try:
            assert not os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket:")
        except OSError:  # the listing's own
            pass
