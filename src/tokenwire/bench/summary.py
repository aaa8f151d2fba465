"""Statistics of a run: with vLLM's names for what its bench has, and similar names for the rest.

Differences from vLLM's measurements:

- `ttft` is the time to the first content: text, reasoning or a tool call. vLLM counts a chunk with only the role, which is
  `ttfc` here. `ttfo` does not count reasoning.
- `itl` are the times between chunks with content; vLLM's includes the last chunk, which only has the finish reason.
- `tpot` ends with the last content, for the same reason; if the server does not count tokens, chunks are counted instead.
- `e2el` ends when the stream has ended.
- Truncated streams are counted separately, and are not among the `completed`, to which all times refer.

Percentiles are interpolated linearly, and the standard deviation is the population's, as by default in numpy.
"""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import msgspec

from ..exceptions import refused
from .client import warning
from .load import Load, Run
from .record import Record

PERCENTILES = (50, 90, 95, 99)
TARGETS = ("ttft", "tpot", "e2el")  # the times that goodput may have targets for


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """The distribution of one time, in milliseconds."""

    count: int
    mean: float
    median: float
    std: float
    percentiles: tuple[float, ...]  # in the order of PERCENTILES


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The statistics of a run.

    Attributes:
        load: the load.
        duration: seconds from the first request to the end of the last.
        ok, truncated, cancelled: numbers of requests, by outcome.
        failed: numbers of other requests, by the class of the error.
        messages: the first error's message of each class.
        requests_per_second, tokens_per_second, chunks_per_second: of requests that were `ok`; tokens are those of answers.
        input_tokens, output_tokens: of those requests; 0 if the server did not count them.
        tokens_from: how answers' tokens were counted: "usage", by the server; "chunks", as chunks with content; or "usage
            and chunks", if the server only counted some answers.
        peak_chunks_per_second, peak_concurrency: the maxima.
        goodput: requests per second that met the targets; None if there are no targets.
        targets: milliseconds by name.
        times: distributions by vLLM's name: `ttft`, `tpot`, ...
        cpu_per_chunk: this process's CPU time for each chunk, in microseconds.
        cpu_share: this process's share of a core.
        lag: the lag of this process's event loop.
        warning: a warning if this process was the limit, else None.
        stopped: whether it was stopped early.
    """

    load: Load
    duration: float
    ok: int
    truncated: int
    cancelled: int
    failed: dict[str, int]
    messages: dict[str, str]
    requests_per_second: float
    tokens_per_second: float
    chunks_per_second: float
    input_tokens: int
    output_tokens: int
    tokens_from: str
    peak_chunks_per_second: int
    peak_concurrency: int
    goodput: float | None
    targets: Mapping[str, float]
    times: dict[str, Spread]
    cpu_per_chunk: float
    cpu_share: float
    lag: Spread | None
    warning: str | None
    stopped: bool

    @property
    def requests(self) -> int:
        """The number of requests sent."""
        return self.ok + self.truncated + self.cancelled + sum(self.failed.values())

    @property
    def complete(self) -> bool:
        """Whether every request was answered completely."""
        return not (self.truncated or self.cancelled or self.failed or self.stopped)


def summary(run: Run, targets: Mapping[str, float]) -> Summary:
    """The statistics of a run.

    Args:
        run: a run that has ended.
        targets: for goodput, in milliseconds by name; empty for no goodput.
    """
    good = [record for record in run.records if record.outcome == "ok"]
    outcomes = Counter(record.outcome for record in run.records)
    failures = [record for record in run.records if record.outcome == "failed"]
    duration = run.seconds or 1e-9
    chunks = sum(record.chunks for record in run.records)
    tokens = sum(record.tokens for record in good)
    watch = run.watch
    lag = spread(watch.lags)
    late = lag.percentiles[-1] / 1000 if lag is not None else 0.0
    return Summary(
        load=run.load,
        duration=run.seconds,
        ok=outcomes["ok"],
        truncated=outcomes["truncated"],
        cancelled=outcomes["cancelled"],
        failed=dict(Counter(record.error or "" for record in failures)),
        messages={record.error or "": record.message or "" for record in reversed(failures)},
        requests_per_second=len(good) / duration,
        tokens_per_second=tokens / duration,
        chunks_per_second=sum(record.chunks for record in good) / duration,
        input_tokens=sum(record.input_tokens or 0 for record in good),
        output_tokens=tokens,
        tokens_from=_counted_by(good),
        peak_chunks_per_second=max(chunks_in_seconds(run.records, run.started), default=0),
        peak_concurrency=most_at_once(run.records),
        goodput=sum(keeps_to(targets, record) for record in good) / duration if targets else None,
        targets=targets,
        times=_times(good, from_schedule=run.load.rate is not None),
        cpu_per_chunk=watch.cpu_seconds * 1e6 / chunks if chunks else 0.0,
        cpu_share=watch.share,
        lag=lag,
        warning=warning(share=watch.share, late=late),
        stopped=run.stopped,
    )


def _times(good: list[Record], *, from_schedule: bool) -> dict[str, Spread]:
    """All distributions that have values, in the order of a request's events."""
    ttft, e2el = [(record.queued, record.ttft) for record in good], [(record.queued, record.e2el) for record in good]
    reasoned = any(record.ttfo != record.ttft for record in good)
    values: dict[str, Iterable[float | None]] = {
        "ttfc": (record.ttfc for record in good),
        "ttft": (time for _, time in ttft),
        "ttfo": (record.ttfo for record in good if reasoned),
        "tpot": (record.tpot for record in good),
        "itl": chain.from_iterable(record.intervals for record in good),
        "e2el": (time for _, time in e2el),
    }
    if from_schedule:
        values["client_queue_time"] = (record.queued for record in good)
        values["ttft_including_client_queue"] = (None if time is None else queued + time for queued, time in ttft)
        values["e2el_including_client_queue"] = (None if time is None else queued + time for queued, time in e2el)
    found = {name: spread(time for time in times if time is not None) for name, times in values.items()}
    return {name: each for name, each in found.items() if each is not None}


def spread(seconds: Iterable[float]) -> Spread | None:
    """The distribution of times; None if there are none."""
    ordered = sorted(seconds)
    if not ordered:
        return None
    mean = statistics.fmean(ordered)
    variance = math.fsum((value - mean) ** 2 for value in ordered) / len(ordered)
    percentiles = tuple(percentile(ordered, percent) * 1000 for percent in PERCENTILES)
    return Spread(
        count=len(ordered), mean=mean * 1000, median=percentiles[0], std=math.sqrt(variance) * 1000, percentiles=percentiles
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """A percentile of values in ascending order, interpolated linearly."""
    place = (len(ordered) - 1) * percent / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def chunks_in_seconds(records: Iterable[Record], since: float) -> list[int]:
    """The numbers of chunks with content in each second of a run."""
    counts = Counter(int(at - since) for record in records for at in record.arrivals)
    return [counts[second] for second in range(max(counts, default=-1) + 1)]


def most_at_once(records: Iterable[Record]) -> int:
    """The most requests in flight at any time."""
    changes = sorted(change for each in records for change in ((each.sent, 1), (each.ended or each.sent, -1)))
    now = most = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def keeps_to(targets: Mapping[str, float], record: Record) -> bool:
    """Whether a request met the targets. One without a second token meets `tpot`, as in vLLM."""
    times = {"ttft": record.ttft, "tpot": record.tpot or 0.0, "e2el": record.e2el}
    return all((time := times[name]) is not None and time * 1000 <= most for name, most in targets.items())


def goodput(words: Iterable[str]) -> dict[str, float]:
    """Parse targets in vLLM's format: `ttft:200 tpot:50 e2el:3000`, in milliseconds.

    Raises:
        BadRequestError: one of them is not valid.
    """
    targets: dict[str, float] = {}
    for word in words:
        name, _, text = word.partition(":")
        try:
            milliseconds = float(text)
        except ValueError:
            milliseconds = math.nan
        if name not in TARGETS or name in targets or not 0 < milliseconds < math.inf:
            expected = "ttft, tpot or e2el with milliseconds, each once: ttft:200 tpot:50 e2el:3000"
            raise refused("goodput", f"goodput must be {expected}; not {word!r:.40}")
        targets[name] = milliseconds
    return targets


def _counted_by(good: Iterable[Record]) -> str:
    by_server = {record.output_tokens is not None for record in good if record.tokens}
    return " and ".join(name for name, there in (("usage", True), ("chunks", False)) if there in by_server) or "nobody"
