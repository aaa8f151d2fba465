"""Monitors this process while it measures: its CPU, and its event loop's lag.

A busy event loop reads what has arrived with a delay, which is part of every measured time. The delay is measured by a timer: how
much later than scheduled it fired.
"""

import time
from array import array

import anyio

TIMER_SECONDS = 0.05
BUSY_SHARE = 0.8  # of a core; above that, the client may be the limit
LATE_SECONDS = 0.02  # the 99th percentile of the lag above which a warning is given


class Watch:
    """Monitors this process.

    Attributes:
        lags: seconds by which each timer was late.
        cpu_seconds: CPU time that the process has used.
        seconds: the duration of the measurement.
    """

    def __init__(self) -> None:
        self.lags: array[float] = array("d")
        self.cpu_seconds: float = 0.0
        self.seconds: float = 0.0

    async def measure(self) -> None:
        """Measure repeatedly, until cancelled."""
        cpu, started = time.process_time(), time.monotonic()
        try:
            while True:
                before = time.monotonic()
                await anyio.sleep(TIMER_SECONDS)
                self.lags.append(max(0.0, time.monotonic() - before - TIMER_SECONDS))
        finally:
            self.cpu_seconds, self.seconds = time.process_time() - cpu, time.monotonic() - started

    @property
    def share(self) -> float:
        """The share of one core that was used."""
        return self.cpu_seconds / self.seconds if self.seconds else 0.0


def warning(*, share: float, late: float) -> str | None:
    """A warning if the client is the limit, else None.

    Args:
        share: the share of one core that this process used.
        late: the 99th percentile of the event loop's lag, in seconds.
    """
    if share < BUSY_SHARE and late < LATE_SECONDS:
        return None
    lag = f"its event loop's lag was {late * 1000:.0f} ms at the 99th percentile"
    if share < BUSY_SHARE:
        return f"other work on this machine delayed the client: {lag}, though it used {share:.0%} of a core. The results include that"
    return (
        f"the client is the limit: it used {share:.0%} of a core, and {lag}. The results include that: use less load, or several"
        " processes"
    )
