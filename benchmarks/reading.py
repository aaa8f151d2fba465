"""Reads and formats figures from results, for all tables."""

import statistics
from typing import Any

TIMES = "\N{MULTIPLICATION SIGN}"


def row_of(results: dict[str, Any], measure: str, cell: str, contender: str) -> dict[str, Any] | None:
    """A contender's row; None where it was not measured."""
    place = (measure, cell, contender)
    return next((row for row in results["results"] if (row["measure"], row["cell"], row["contender"]) == place), None)


def values_of(results: dict[str, Any], measure: str, cell: str, contender: str, metric: str) -> list[float]:
    """The samples of one metric; none where the contender failed or was not measured."""
    row = row_of(results, measure, cell, contender)
    return [] if row is None else [sample[metric] for sample in row["samples"]]


def median_of(results: dict[str, Any], measure: str, cell: str, contender: str, metric: str) -> float | None:
    """The median of `values_of`."""
    values = values_of(results, measure, cell, contender, metric)
    return statistics.median(values) if values else None


def figure(value: float | None) -> str:
    """A number with a sensible number of digits."""
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
