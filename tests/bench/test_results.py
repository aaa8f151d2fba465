"""What is made of measured times: percentiles, files, comparisons, the page."""

import json
import random
import statistics
import xml.etree.ElementTree as ET
from array import array
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tokenwire.bench import compare, page, report, saved
from tokenwire.bench.client import warning
from tokenwire.bench.load import Load, Run
from tokenwire.bench.record import Outcome, Record
from tokenwire.bench.summary import Summary, goodput, percentile, spread, summary
from tokenwire.exceptions import BadRequestError

AT = datetime(2026, 11, 29, 12, 0, 0)


async def nothing(_: Record) -> None: ...


def run(load: Load, *ends: Outcome, speed: float = 1.0, started: float = 100.0) -> Run:
    """A run that has ended: one request after the other, each with its third chunk after 0.3 s."""
    made = Run(nothing, load)
    made.started, made.ended = started, started + len(ends) * speed
    for index, end in enumerate(ends):
        sent = started + index * speed
        arrivals = array("d", [sent + place * speed for place in (0.1, 0.2, 0.3)])
        record = Record(index, sent, sent, sent + 0.05 * speed, arrivals[0], arrivals, sent + 0.4 * speed, 5, end)
        if end in ("failed", "truncated"):
            record.error, record.message = "RateLimitError", "slow <down>"
        made.records.append(record)
    made.watch.cpu_seconds, made.watch.seconds = 0.001, made.seconds
    return made


def results(*runs: Run) -> list[tuple[Run, Summary]]:
    return [(each, summary(each, {"ttft": 150})) for each in runs]


def fields(found: Summary) -> saved.Fields:
    return saved.fields_of(found, model="openai/m", base="http://x/v1", at=AT)


def test_percentiles_are_numpys() -> None:
    numpy: Any = pytest.importorskip("numpy")
    values = [random.Random(7).expovariate(1) for _ in range(1234)]
    found = spread(values)
    assert found is not None
    assert found.percentiles == pytest.approx([numpy.percentile(values, percent) * 1000 for percent in (50, 90, 95, 99)])
    assert (found.mean, found.std) == (MS(numpy.mean(values)), MS(numpy.std(values)))
    assert found.median == MS(statistics.median(values))
    assert [percentile([1.0], percent) for percent in (0, 50, 100)] == [1, 1, 1]
    assert spread([]) is None


def MS(seconds: Any) -> Any:  # noqa: N802
    return pytest.approx(float(seconds) * 1000)


@pytest.mark.parametrize(
    "words, found", [(["ttft:200", "tpot:50", "e2el:3000"], {"ttft": 200, "tpot": 50, "e2el": 3000}), ([], {})]
)
def test_targets(words: list[str], found: dict[str, float]) -> None:
    assert goodput(words) == found


@pytest.mark.parametrize("words", [["ttft"], ["ttft:"], ["ttft:x"], ["ttft:0"], ["ttft:nan"], ["itl:5"], ["ttft:1", "ttft:2"]])
def test_targets_that_are_none(words: list[str]) -> None:
    with pytest.raises(BadRequestError, match="goodput must be ttft, tpot or e2el with milliseconds"):
        goodput(words)


def test_the_names_are_those_of_vllms_bench() -> None:
    found = fields(summary(run(Load(rate=5.0), "ok", "ok", "failed", "truncated"), {"ttft": 150}))
    assert [found[name] for name in ("completed", "failed", "num_prompts", "request_rate")] == [2, 2, 4, 5.0]
    assert [found[name] for name in ("duration", "request_throughput", "output_throughput")] == [4, 0.5, 1.5]
    assert found["request_goodput"] == 0.5
    times = {
        f"{kind}_{name}_ms" for kind in ("mean", "median", "std", "p90", "p99") for name in ("ttft", "tpot", "itl", "e2el")
    }
    assert times <= found.keys()
    assert found["p99_ttft_ms"] == pytest.approx(100)
    assert found["failed_by_class"] == {"RateLimitError": 1}
    assert json.loads(saved.encode([found]))["median_itl_ms"] == pytest.approx(100)
    assert [each["label"] for each in json.loads(saved.encode([found, found]))] == ["5 requests/s, poisson"] * 2


def test_a_line_for_each_request() -> None:
    made = run(Load(concurrency=1), "ok", "failed")
    lines = [json.loads(line) for line in saved.lines_of(made.records, "concurrency 1", made.started)]
    assert [line["outcome"] for line in lines] == ["ok", "failed"]
    assert lines[1]["sent"] == pytest.approx(1)
    assert lines[0]["itl"] == pytest.approx([0.1, 0.1])
    assert [lines[0][name] for name in ("ttfc", "ttft", "latency")] == pytest.approx([0.05, 0.1, 0.4])
    assert (lines[1]["error"], lines[1]["message"]) == ("RateLimitError", "slow <down>")


def file(folder: Path, name: str, *found: saved.Fields) -> str:
    (folder / name).write_bytes(saved.encode(list(found)))
    return str(folder / name)


def test_two_results_side_by_side(tmp_path: Path) -> None:
    loads = [Load(concurrency=1), Load(concurrency=2), Load(concurrency=3)]
    before = [fields(summary(run(load, "ok"), {})) for load in loads[:2]]
    after = [fields(summary(run(load, "ok", speed=0.5), {})) for load in loads[1:]]
    files = file(tmp_path, "a", *before), file(tmp_path, "b", *after)
    (found,) = compare.compared(*map(saved.read, files))
    assert found.load == "concurrency 2"
    rows = {row.title: row for row in found.rows}
    first = rows["first token, p99"]
    assert (first.before, first.after, first.change, first.better) == (
        pytest.approx(100), pytest.approx(50), pytest.approx(-0.5), True
    )  # fmt: skip
    assert (rows["requests/s"].change, rows["requests/s"].better) == (pytest.approx(1.0), True)
    assert (rows["ok"].better, rows["failed or truncated"].change) == (None, None)
    assert ("first token, p99 ms", "100.00", "50.00", "-50.0%", "better") in report.table_of(found).rows


def test_a_result_of_vllms_own(tmp_path: Path) -> None:
    theirs: saved.Fields = {"request_rate": "inf", "max_concurrency": 2, "request_throughput": 2.0, "median_ttft_ms": 80.0}
    ours = fields(summary(run(Load(concurrency=8), "ok"), {}))
    (found,) = compare.compared(saved.read(file(tmp_path, "a", theirs)), [ours])
    assert (found.load, found.other_load) == ("concurrency 2", "concurrency 8")
    assert [(row.title, row.before) for row in found.rows] == [("requests/s", 2), ("first token, p50", 80)]


@pytest.mark.parametrize("text", ["", "{}", "[]", "[1]", "{", '"request_throughput"'])
def test_what_is_no_result(text: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_text(text)
    with pytest.raises(BadRequestError, match=r"is not JSON|must be a result"):
        saved.read(str(tmp_path / "a"))


def test_the_client_is_the_limit() -> None:
    assert warning(share=0.2, late=0.001) is None
    assert (warning(share=0.95, late=0.001) or "").startswith("the client is the limit: it used 95% of a core")
    assert (warning(share=0.2, late=0.05) or "").startswith("other work on this machine delayed the client")
    found = run(Load(concurrency=1), "ok")
    found.watch.lags = array("d", [0.001] * 50 + [0.5] * 5)
    assert "lag was 500 ms" in (summary(found, {}).warning or "")


def test_the_tables() -> None:
    (counts, times) = report.rows_of(results(run(Load(rate=2.0), "ok", "failed", "cancelled", "truncated"))[0][1])
    rows = {row[0]: row[1:] for row in counts.rows}
    assert (rows["RateLimitError"], rows["cancelled"]) == (("1", "slow <down>"), ("1", ""))
    assert rows["goodput, requests/s"] == ("0.25", "ttft:150")
    assert [row[0] for row in times.rows][:3] == ["first chunk", "first token", "time per token"]
    assert "whole, from schedule" in {row[0] for row in times.rows}
    assert {len(row) for row in times.rows} == {len(times.head)} == {len(times.numbers)}


def test_the_page() -> None:
    pytest.importorskip("matplotlib")
    loads = [("ok", "ok", "failed"), ("failed",), ("ok",)]
    runs = [run(Load(concurrency=4**place), *ends, started=100.0 * place) for place, ends in enumerate(loads)]
    text = page.page(results(*runs), model="<m>", base="http://x/v1", at=AT)
    assert "<title>&lt;m&gt;, measured</title>" in text
    assert text.index("load (times in ms)") < text.index("<h2>concurrency 1</h2>") < text.index("<h2>concurrency 16</h2>")
    assert [part for part in ("<script", 'src="', "slow <down>", "@import", "url(http") if part in text] == []
    svgs = [part.partition("</figure>")[0] for part in text.split("<figure>")[1:]]
    assert ["Tokens a second" in svgs[0], "First token" in svgs[1], "Requests in flight" in svgs[2]] == [True] * 3
    for svg in svgs:
        ET.fromstring(svg)
