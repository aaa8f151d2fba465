"""The instruments of `semantic-conventions-genai` v0.1.0 for clients, recorded once for each call.

Bucket boundaries are the document's. The older metrics (`gen_ai.client.operation.duration`, `gen_ai.client.token.usage`) are
recorded in addition if `OTEL_SEMCONV_STABILITY_OPT_IN` has "gen_ai/dup".
"""

from typing import Final

from opentelemetry.metrics import Counter, Histogram, Meter
from opentelemetry.util.types import AttributeValue

from ..types import Usage
from ..types.attempts import EndDetails

Labels = dict[str, AttributeValue]

SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKENS: Final = tuple(4**power for power in range(14))
_MODALITY = {"gen_ai.token.modality": "unknown"}  # servers count the tokens of all modalities together


class Instruments:
    """Records the metrics of calls.

    Attributes:
        between_chunks: the seconds between two chunks of a stream, for `OTel(chunk_metrics=True)`.
    """

    def __init__(self, meter: Meter, *, old_names: bool) -> None:
        def seconds(name: str, description: str) -> Histogram:
            return meter.create_histogram(name, "s", description, explicit_bucket_boundaries_advisory=SECONDS)

        def tokens(name: str, description: str) -> Histogram:
            return meter.create_histogram(name, "{token}", description, explicit_bucket_boundaries_advisory=TOKENS)

        def counter(name: str, description: str) -> Counter:
            return meter.create_counter(f"gen_ai.client.inference.usage.{name}", "{token}", description)

        inference = "gen_ai.client.inference"
        self._duration = seconds(f"{inference}.duration", "From a call's beginning to its end.")
        self._first_chunk = seconds(f"{inference}.time_to_first_chunk", "From a call's beginning to its first content.")
        self.between_chunks: Histogram = seconds(f"{inference}.time_per_output_chunk", "Between two chunks of a stream.")
        self._input = tokens(f"{inference}.operation.input_tokens", "Input tokens of a call.")
        self._output = tokens(f"{inference}.operation.output_tokens", "Output tokens of a call.")
        self._inputs = counter("input_tokens", "Input tokens, those from a cache included.")
        self._outputs = counter("output_tokens", "Output tokens, those of reasoning included.")
        self._cached = counter("cache_read.input_tokens", "Input tokens that came from a cache.")
        self._written = counter("cache_write.input_tokens", "Input tokens that were written to a cache.")
        self._reasoning = counter("reasoning.output_tokens", "Output tokens of reasoning.")
        self._embedding = seconds("gen_ai.client.embeddings.duration", "From a call's beginning to its end.")
        self._embedded = tokens("gen_ai.client.embeddings.operation.input_tokens", "Input tokens of a call.")
        self._old_duration = self._old_tokens = None
        if old_names:
            self._old_duration = seconds("gen_ai.client.operation.duration", "From a call's beginning to its end.")
            self._old_tokens = tokens("gen_ai.client.token.usage", "Input and output tokens of a call.")

    def record(self, operation: str, labels: Labels, end: EndDetails, error: str | None, pace: float | None) -> None:
        """Record a call that has ended.

        Args:
            operation: its `gen_ai.operation.name`.
            labels: the attributes of all its records.
            error: its `error.type`.
            pace: the mean of the seconds between two chunks, None if they were recorded or there were none.
        """
        over = labels if error is None else {**labels, "error.type": error}
        if operation == "embeddings":
            self._embedding.record(end.seconds, over)
            if end.usage is not None:
                self._embedded.record(end.usage.prompt_tokens, over)
        else:
            self._duration.record(end.seconds, over)
            if end.first_content is not None:
                self._first_chunk.record(end.first_content, labels)
            if pace is not None:
                self.between_chunks.record(pace, labels)
            self._record_tokens(labels, over, end.usage)
        if self._old_duration is not None and self._old_tokens is not None:
            old = {**over, "gen_ai.system": over["gen_ai.provider.name"]}
            self._old_duration.record(end.seconds, old)
            if end.usage is not None:
                self._old_tokens.record(end.usage.prompt_tokens, {**old, "gen_ai.token.type": "input"})
                self._old_tokens.record(end.usage.completion_tokens, {**old, "gen_ai.token.type": "output"})

    def _record_tokens(self, labels: Labels, over: Labels, usage: Usage | None) -> None:
        """Zero if there is no usage, by the document: averages include failed calls."""
        counted = {**labels, **_MODALITY}
        prompt, completion = (0, 0) if usage is None else (usage.prompt_tokens, usage.completion_tokens)
        self._inputs.add(prompt, counted)
        self._outputs.add(completion, counted)
        self._input.record(prompt, over)
        self._output.record(completion, over)
        if usage is None:
            return
        written = cache_written(usage) if labels["gen_ai.provider.name"] == "anthropic" else None
        for instrument, count in (
            (self._cached, cache_read(usage)),
            (self._written, written),
            (self._reasoning, reasoning(usage)),
        ):
            if count:
                instrument.add(count, counted)


def cache_read(usage: Usage) -> int | None:
    """Input tokens read from a cache; None if unknown."""
    details = usage.prompt_tokens_details
    return None if details is None else details.cached_tokens


def cache_written(usage: Usage) -> int | None:
    """Input tokens written to a cache, sent by Anthropic; None if unknown."""
    count = getattr(usage, "cache_creation_input_tokens", None)
    return count if isinstance(count, int) else None


def reasoning(usage: Usage) -> int | None:
    """Output tokens of reasoning; None if unknown."""
    details = usage.completion_tokens_details
    return None if details is None else details.reasoning_tokens
