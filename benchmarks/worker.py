"""One measurement of one contender, in a process of its own: `python -m benchmarks.worker JOB`, both ways JSON.

It runs in the contender's environment, so this module and the measures use the standard library alone.
"""

import json
import sys
import traceback
from importlib import import_module
from typing import Any

MARK = "benchmark result: "  # in front of the result, on the last line of standard output
LONGEST_FAILURE = 300  # characters


class Job:
    """What to measure.

    Attributes:
        measure, module, loop: names.
        parameters: the measure's, for this cell.
        origin: where the contender shall connect, by http or https.
        control: the canned server's plain address.
        statement: the import that the contender's users write.
    """

    def __init__(self, fields: dict[str, Any]) -> None:
        self.measure: str = fields["measure"]
        self.module: str = fields["module"]
        self.loop: str = fields["loop"]
        self.parameters: dict[str, Any] = fields["parameters"]
        self.control: str = fields["control"]
        self.origin: str = fields["origin"]
        self.statement: str = fields["statement"]

    @property
    def base_url(self) -> str:
        """The endpoint's base URL, for the contender."""
        return f"{self.origin}/v1"

    def load(self) -> Any:
        """The contender's module."""
        return import_module(f"benchmarks.contenders.{self.module}")


def raise_file_limit() -> None:
    """Allow as many open sockets as the system does."""
    try:
        import resource
    except ImportError:
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def settle_malloc() -> None:
    """Bring glibc's malloc to where it is in any process that ever freed a large block.

    asyncio's transports allocate 256 KB for each read. Until a block of that size has been freed, glibc maps and unmaps
    them, which costs more than all the rest of a read; afterwards they come from the heap. Otherwise, which of the two a
    contender has would be chance.
    """
    bytearray(2**21)


def main() -> None:
    raise_file_limit()
    settle_malloc()
    job = Job(json.loads(sys.argv[1]))
    measure = import_module(f"benchmarks.measures.{job.measure}")
    try:
        outcome = {"values": measure.run(job)}
    except Exception as error:  # noqa: BLE001  (the contender's: it can be anything)
        traceback.print_exc()
        outcome = {"failure": _in_words(error)}
    print(MARK + json.dumps(outcome), flush=True)


def _in_words(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"[:LONGEST_FAILURE]


if __name__ == "__main__":
    main()
