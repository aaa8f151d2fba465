"""Measures a piece of work: this process's CPU, wall time, and the server's share of a core."""

import cProfile
import gc
import json
import os
import time
import urllib.request

from . import loops

GO_S = 0.2  # from the "go" to the server until its first event
SETTLE_S = 0.3
WAIT_S = 90
PROFILE = os.environ.get("BENCHMARKS_PROFILE")  # the file for `benchmarks.profile`; slows everything down


def ask_server(origin: str, what: str) -> float:
    """A number from the canned server: "cpu" seconds used, "held" streams; "release" ends those."""
    with urllib.request.urlopen(f"{origin}/control/{what}", timeout=30) as answer:
        return float(json.loads(answer.read()))


class Clock:
    """Starts when created; `stop` returns the values that every result has."""

    def __init__(self, control: str) -> None:
        self._control = control
        gc.collect()
        self._server_cpu = ask_server(control, "cpu")
        self._profile = cProfile.Profile() if PROFILE else None
        if self._profile is not None:
            self._profile.enable()
        self._wall = time.perf_counter()
        self._cpu = time.process_time()

    @property
    def cpu(self) -> float:
        """Seconds of CPU so far, of all threads, user and system."""
        return time.process_time() - self._cpu

    @property
    def wall(self) -> float:
        """Seconds so far."""
        return time.perf_counter() - self._wall

    def stop(self) -> dict[str, float]:
        """The values: CPU and wall seconds, and the share of a core that the server took meanwhile."""
        cpu, wall = self.cpu, self.wall
        if self._profile is not None:
            self._profile.disable()
            self._profile.dump_stats(PROFILE)
        server = ask_server(self._control, "cpu") - self._server_cpu
        return {"cpu_s": cpu, "wall_s": wall, "server_share": server / wall}


async def wait_until_held(control: str, streams: int) -> None:
    """Wait until the server holds so many streams, and the client has read what they have sent so far."""
    until = time.monotonic() + WAIT_S
    while ask_server(control, "held") < streams:
        if time.monotonic() > until:
            raise TimeoutError(f"after {WAIT_S} s {ask_server(control, 'held'):.0f} of {streams} streams were open")
        await loops.sleep(0.05)
    await loops.sleep(SETTLE_S)
