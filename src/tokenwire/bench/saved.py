"""Results in files: JSON with the field names of vLLM's bench, and a line of JSON for each request."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TypeAlias, cast

import msgspec

from tokenwire import __version__

from ..exceptions import refused
from .record import Record
from .summary import PERCENTILES, Spread, Summary

Fields: TypeAlias = dict[str, object]


def fields_of(summary: Summary, *, model: str, base: str | None, at: datetime) -> Fields:
    """A run's result in the format of vLLM's bench, with further fields.

    Args:
        model: the model.
        base: the endpoint's address, if one was given.
        at: when it began.
    """
    load, failed = summary.load, sum(summary.failed.values())
    fields: Fields = {
        "date": at.strftime("%Y%m%d-%H%M%S"),
        "endpoint_type": "tokenwire",
        "backend": "tokenwire",
        "label": load.label,
        "model_id": model,
        "tokenizer_id": None,
        "num_prompts": summary.requests,
        "request_rate": "inf" if load.rate is None else load.rate,
        "burstiness": "inf" if load.rate is not None and load.arrivals == "constant" else 1.0,
        "max_concurrency": load.concurrency,
        "duration": summary.duration,
        "completed": summary.ok,
        "failed": failed + summary.truncated,
        "total_input_tokens": summary.input_tokens,
        "total_output_tokens": summary.output_tokens,
        "request_throughput": summary.requests_per_second,
        "request_goodput": summary.goodput,
        "output_throughput": summary.tokens_per_second,
        "total_token_throughput": summary.tokens_per_second + summary.input_tokens / (summary.duration or 1e-9),
        "max_output_tokens_per_s": float(summary.peak_chunks_per_second),
        "max_concurrent_requests": summary.peak_concurrency,
    }
    for name, spread in summary.times.items():
        fields |= _spread(name, spread)
    return fields | {
        "truncated": summary.truncated,
        "cancelled": summary.cancelled,
        "failed_by_class": summary.failed,
        "failure_messages": summary.messages,
        "output_tokens_from": summary.tokens_from,
        "chunk_throughput": summary.chunks_per_second,
        "goodput_targets_ms": summary.targets,
        "client_cpu_us_per_chunk": summary.cpu_per_chunk,
        "client_cpu_share": summary.cpu_share,
        **({} if summary.lag is None else _spread("client_loop_lag", summary.lag)),
        "client_warning": summary.warning,
        "stopped": summary.stopped,
        "api_base": base,
        "client_version": __version__,
    }


def _spread(name: str, spread: Spread) -> Fields:
    fields: Fields = {f"mean_{name}_ms": spread.mean, f"median_{name}_ms": spread.median, f"std_{name}_ms": spread.std}
    return fields | {f"p{percent}_{name}_ms": value for percent, value in zip(PERCENTILES, spread.percentiles, strict=True)}


def encode(results: list[Fields]) -> bytes:
    """The file's content: one result as saved by vLLM's bench, several of a sweep as a list."""
    return msgspec.json.format(msgspec.json.encode(results[0] if len(results) == 1 else results), indent=2) + b"\n"


def read(path: str) -> list[Fields]:
    """Read results that were saved by this bench or by vLLM's.

    Raises:
        BadRequestError: the file can't be read, or has no result.
    """
    try:
        found: object = msgspec.json.decode(Path(path).read_bytes())
    except OSError as error:
        raise refused("compare", f"{path}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise refused("compare", f"{path} is not JSON: {error}") from None
    results: list[object] = cast("list[object]", found) if isinstance(found, list) else [found]
    if not results or not all(isinstance(each, Mapping) and "request_throughput" in each for each in results):
        raise refused("compare", f"{path} must be a result of this bench or vLLM's, with request_throughput in it")
    return [dict(cast("Mapping[str, object]", each)) for each in results]


def lines_of(records: Iterable[Record], load: str, since: float) -> Iterable[bytes]:
    """A line for each request. Times are in seconds: `scheduled` and `sent` since `since`, all others since it was sent."""
    for record in records:
        fields: Fields = {
            "index": record.index,
            "load": load,
            "outcome": record.outcome,
            "error": record.error,
            "message": record.message,
            "finish_reason": record.finish_reason,
            "scheduled": record.scheduled - since,
            "sent": record.sent - since,
            "ttfc": record.ttfc,
            "ttft": record.ttft,
            "ttfo": record.ttfo,
            "tpot": record.tpot,
            "latency": record.e2el,
            "itl": record.intervals,
            "chunks": record.chunks,
            "prompt_len": record.input_tokens,
            "output_tokens": record.output_tokens,
        }
        yield msgspec.json.encode(fields) + b"\n"
