"""What the benchmarks measure and say: of two states of the project in one run, and of the kinds of chunks."""

import asyncio
import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import tokenwire

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def row(contender: str, *costs: float) -> dict[str, Any]:
    samples = [{"us_per_call": cost, "p50_us": cost, "p99_us": cost} for cost in costs]
    return {"measure": "whole", "cell": "", "contender": contender, "samples": samples, "failures": []}


def test_a_pair_has_the_median_of_the_rounds_ratios() -> None:
    results = {
        "contenders": {"tokenwire": {"before_of": ""}, "tokenwire before": {"before_of": "tokenwire"}, "floor": {}},
        "results": [row("tokenwire", 1, 2, 30), row("tokenwire before", 2, 8, 40), row("floor", 1, 1, 1)],
    }
    lines = list(import_module("benchmarks.report")._pairs(results))
    assert "| whole | tokenwire | CPU per call, µs | 8.00 | 2.00 | 0.500 | 0.25 to 0.75 |" in lines
    assert not any("floor" in line for line in lines)


def test_without_a_pair_there_is_no_such_table() -> None:
    results = {"contenders": {"tokenwire": {}}, "results": [row("tokenwire", 1)]}
    assert list(import_module("benchmarks.report")._pairs(results)) == []


def test_a_pair_differs_in_what_it_imports_alone(tmp_path: Path) -> None:
    contenders = import_module("benchmarks.contenders").CONTENDERS
    before = contenders["tokenwire uvloop"].before(tmp_path)
    assert (before.name, before.before_of) == ("tokenwire uvloop before", "tokenwire uvloop")
    assert before.source == tmp_path / "src"
    assert (before.module, before.group, before.loop) == ("tokenwire_acompletion", "own", "uvloop")


def test_no_contender_always_follows_the_same() -> None:
    in_turn = import_module("benchmarks.runner")._in_turn
    orders = [in_turn(["a", "b", "c"], turn) for turn in range(6)]
    assert {order[0] for order in orders} == {"a", "b", "c"}
    followed = [dict(zip(order[1:], order, strict=False)) for order in orders]
    assert {order.get("b") for order in followed} >= {"a", "c"}


# --- the kinds of chunks

KINDS = ("text", "obfuscation", "reasoning", "tools", "logprobs", "usage", "vllm", "vllm_read", "choices")
CHUNKS = 70  # more than the canned server puts into one write


@pytest.fixture(scope="module")
def canned_server() -> Iterator[dict[str, str]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        with import_module("benchmarks.runner").serving(Path(sys.executable)) as origins:
            yield origins


def measured(measure: str, module: str, origin: str, loop: str = "asyncio", **parameters: Any) -> dict[str, Any]:
    """One small measurement, in this process."""
    fields = {"measure": measure, "module": module, "loop": loop, "statement": "", "origin": origin, "control": origin}
    job = import_module("benchmarks.worker").Job({**fields, "parameters": parameters})
    return import_module(f"benchmarks.measures.{measure}").run(job)


def test_these_are_the_kinds() -> None:
    assert tuple(import_module("benchmarks.kinds").KINDS) == KINDS
    assert tuple(import_module("benchmarks.measures.kinds_burst").cells(True)) == KINDS
    assert tuple(import_module("benchmarks.measures.kinds_paced").cells(True)) == KINDS


EVERY_KIND = ["floor", "floor_all_fields", "tokenwire_acompletion", "tokenwire_astreaming", "httpx_sse", "openai"]
OTHER_LOOPS = [  # where what is read is read by the same code
    ("floor", "uvloop"),
    ("floor_trio", "trio"),
    ("tokenwire_acompletion", "uvloop"),
    ("tokenwire_acompletion", "trio"),
    ("tokenwire_astreaming", "uvloop"),
    ("tokenwire_astreaming", "trio"),
]


@pytest.mark.parametrize(
    "module, loop, kind",
    [
        *((module, "asyncio", kind) for module in EVERY_KIND for kind in KINDS),
        *((module, loop, "choices") for module, loop in OTHER_LOOPS),
    ],
)
def test_what_each_chunk_of_a_burst_brings_is_read(canned_server: dict[str, str], module: str, loop: str, kind: str) -> None:
    found = measured("kinds_burst", module, canned_server["http"], loop, chunks=CHUNKS, least_cpu_s=0.002, kind=kind)
    assert found["chunks"] >= CHUNKS
    assert found["chunks"] % CHUNKS == 0


def every_kind_by(module: str, *others: str) -> list[tuple[str, str]]:
    """Each kind by one module, and two kinds by the others, which read them by the same code."""
    return [*((module, kind) for kind in KINDS), *((other, kind) for other in others for kind in ("text", "choices"))]


@pytest.mark.parametrize("module, kind", every_kind_by("tokenwire_acompletion", "floor", "tokenwire_astreaming"))
def test_what_each_chunk_brings_is_read_by_sync_code(canned_server: dict[str, str], module: str, kind: str) -> None:
    found = measured("kinds_sync", module, canned_server["http"], chunks=CHUNKS, least_cpu_s=0.002, kind=kind)
    assert found["chunks"] >= CHUNKS


@pytest.mark.parametrize(
    "module, kind",
    [row for row in every_kind_by("tokenwire_acompletion", "floor", "tokenwire_astreaming") if "obfuscation" not in row],
)
def test_handlers_yield_each_kind_and_servers_send_it(canned_server: dict[str, str], module: str, kind: str) -> None:
    for measure in ("kinds_handler", "kinds_server"):
        found = measured(measure, module, canned_server["http"], chunks=CHUNKS, least_cpu_s=0.002, kind=kind)
        assert found["chunks"] >= CHUNKS


@pytest.mark.parametrize("kind", ["reasoning", "choices"])
def test_what_each_chunk_of_paced_streams_brings_is_read(canned_server: dict[str, str], kind: str) -> None:
    sizes: dict[str, Any] = {"streams": 2, "rate": 100, "events": 3}
    found = measured("kinds_paced", "tokenwire_acompletion", canned_server["http"], kind=kind, **sizes)
    assert found["chunks"] == 2 * 3


def test_a_stream_that_is_held_ends_as_its_kind_ends(canned_server: dict[str, str]) -> None:
    origin = canned_server["http"]
    with tokenwire.completion(
        "openai/hold-tools", [{"role": "user", "content": "Hi"}], stream=True, api_base=f"{origin}/v1", api_key="k"
    ) as stream:
        for chunk in stream:
            calls = chunk.choices[0].delta.tool_calls
            if calls and calls[0].function and calls[0].function.arguments:
                import_module("benchmarks.clock").ask_server(origin, "release")
    assert stream.response is not None
    assert stream.response.choices[0].finish_reason == "tool_calls"


def test_a_contender_that_misses_a_chunk_is_not_measured(canned_server: dict[str, str]) -> None:
    looks = import_module("benchmarks.kinds").LOOKS
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(looks, "reasoning", looks["text"])
        with pytest.raises(AssertionError, match="0 chunks with what they bring were read, not 70"):
            measured("kinds_burst", "floor", canned_server["http"], chunks=CHUNKS, least_cpu_s=0.002, kind="reasoning")


def test_every_run_has_the_same_events() -> None:
    kinds = import_module("benchmarks.kinds").KINDS
    for kind in kinds.values():
        assert [kind.event(place) for place in range(100)] == [kind.event(place) for place in range(100)]
    totals = [kinds["usage"].event(place)["usage"]["total_tokens"] for place in range(100)]
    assert totals == sorted(set(totals))
    assert [kinds["choices"].event(place)["choices"][0]["index"] for place in range(4)] == [0, 1, 0, 1]
    paddings = {kinds["obfuscation"].event(place)["obfuscation"] for place in range(54)}
    assert len(paddings) == 54


def test_measures_are_chosen_by_name_or_beginning() -> None:
    chosen = import_module("benchmarks.__main__")._chosen_measures
    assert chosen(["kinds"], quick=False) == ["kinds_burst", "kinds_paced", "kinds_sync", "kinds_handler", "kinds_server"]
    assert chosen(["whole", "handler"], quick=False) == ["whole", "handler"]
    with pytest.raises(SystemExit, match="no measure is called 'bust'"):
        chosen(["bust"], quick=False)


def kinds_row(contender: str, kind: str, *costs: float, measure: str = "kinds_burst") -> dict[str, Any]:
    samples = [{"us_per_chunk": cost, "chunks_per_s": 1e6 / cost} for cost in costs]
    return {"measure": measure, "cell": kind, "contender": contender, "samples": samples, "failures": []}


ABOUT: dict[str, Any] = {
    "date": "2026-11-28",
    "commit": "abc",
    "before": None,
    "quick": False,
    "stopped": False,
    "rounds": 1,
    "minutes": 1.0,
    "machine": {"processor": "P", "cores": 2, "memory": "M", "system": "S", "python": "C", "load": 0.5},
    "versions": {"own": {"msgspec": "1"}},
}


def kinds_results() -> dict[str, Any]:
    contenders = {
        "floor": {"loop": "asyncio", "floor": "floor", "before_of": ""},
        "tokenwire": {"loop": "asyncio", "floor": "floor", "before_of": ""},
        "tokenwire before": {"loop": "asyncio", "floor": "floor", "before_of": "tokenwire"},
        "litellm": {"loop": "asyncio", "floor": "floor", "before_of": ""},
    }
    rows = [
        kinds_row("floor", "text", 1, 2, 3),
        kinds_row("floor", "reasoning", 2),
        kinds_row("tokenwire", "text", 1, 1.5, 9),
        kinds_row("tokenwire", "reasoning", 3),
        kinds_row("tokenwire before", "text", 50),
        kinds_row("litellm", "text", 900),
        {**kinds_row("litellm", "reasoning"), "failures": ["AttributeError: reasoning_content"]},
        kinds_row("tokenwire", "text", 10, measure="kinds_sync"),
        kinds_row("tokenwire", "reasoning", 25, measure="kinds_sync"),
    ]
    return {**ABOUT, "contenders": contenders, "results": rows}


def test_the_kinds_are_in_one_table_beside_their_floor() -> None:
    lines = list(import_module("benchmarks.report_kinds").tables(kinds_results(), "kinds_burst"))
    table = [line for line in lines if line.startswith("|")]
    assert table == [
        "| what the server streams | floor | tokenwire | litellm |",
        "|---|--:|--:|--:|",
        "| text | 2.00 | 1.50 (0.8\N{MULTIPLICATION SIGN}) | 900 (450\N{MULTIPLICATION SIGN}) |",
        "| `reasoning_content` | 2.00 | 3.00 (1.5\N{MULTIPLICATION SIGN}) | failed |",
    ]
    assert "- litellm, `reasoning_content`: AttributeError: reasoning_content" in lines


def test_where_there_is_no_fair_floor_kinds_are_set_against_text() -> None:
    lines = list(import_module("benchmarks.report_kinds").tables(kinds_results(), "kinds_sync"))
    assert "| `reasoning_content` | 25.0 (2.5\N{MULTIPLICATION SIGN}) |" in lines
    assert "| text | 10.0 |" in lines


def test_a_report_names_the_worst_kind_of_each_target() -> None:
    results = kinds_results()
    results["results"].append(kinds_row("floor", "tools", 1))
    results["results"].append(kinds_row("tokenwire", "tools", 4))
    found = [line for line in import_module("benchmarks.report")._targets(results) if line.startswith("| kinds")]
    assert found == [
        "| kinds (text) | tokenwire | 0.75\N{MULTIPLICATION SIGN} | 0.90\N{MULTIPLICATION SIGN} | reached |",
        "| kinds (tools) | tokenwire | 4.00\N{MULTIPLICATION SIGN} | 1.80\N{MULTIPLICATION SIGN} | **not reached** |",
        "| kinds, sync, of text (reasoning) | tokenwire | 2.50\N{MULTIPLICATION SIGN} | 2.00\N{MULTIPLICATION SIGN} | **not reached** |",
    ]


def test_the_readme_claims_the_worst(tmp_path: Path) -> None:
    report_kinds = import_module("benchmarks.report_kinds")
    readme = tmp_path / "README.md"
    readme.write_text(f"above\n\n{report_kinds.BEGIN}\nold\n{report_kinds.END}\n\nbelow\n", "utf-8")
    report_kinds.write_readme(kinds_results(), readme)
    written = readme.read_text("utf-8")
    assert written.startswith("above\n\n<!--")
    assert written.endswith("-->\n\nbelow\n")
    assert "old" not in written
    assert "between 0.8 and 1.5 times" in written
    assert "The most expensive kind is: `reasoning_content` (`tokenwire`)" in written
    assert "| text | 2.00 | 1.50 (0.8\N{MULTIPLICATION SIGN}) |" in written
    report_kinds.write_readme({**ABOUT, "contenders": {}, "results": []}, readme)
    assert readme.read_text("utf-8") == written


def test_the_readme_has_a_place_for_the_kinds() -> None:
    report_kinds = import_module("benchmarks.report_kinds")
    _, begin, rest = (ROOT / "README.md").read_text("utf-8").partition(report_kinds.BEGIN)
    assert begin
    assert report_kinds.END in rest


def test_a_later_run_replaces_the_measures_that_it_has() -> None:
    report = import_module("benchmarks.report")
    earlier = {**ABOUT, "contenders": {"tokenwire": {"floor": "floor"}}, "results": [row("tokenwire", 7)]}
    once = report.merged(kinds_results(), earlier)
    new = kinds_results()
    new["results"] = [kinds_row("tokenwire", "text", 1.25)]
    twice = report.merged({**new, "commit": "def"}, once)
    rows = {(row["measure"], row["cell"], row["contender"]): row["samples"] for row in twice["results"]}
    assert rows["whole", "", "tokenwire"][0]["us_per_call"] == 7
    assert rows["kinds_burst", "text", "tokenwire"] == [{"us_per_chunk": 1.25, "chunks_per_s": 8e5}]
    assert ("kinds_burst", "reasoning", "tokenwire") not in rows
    assert ("kinds_sync", "text", "tokenwire") in rows
    assert [(part["measures"], part["commit"]) for part in twice["parts"]] == [
        (["kinds_sync"], "abc"),
        (["kinds_burst"], "def"),
    ]
    assert twice["commit"] == "abc"
    assert "of def" in report.text(twice)


def test_results_have_a_row_on_a_line() -> None:
    results = kinds_results()
    written = import_module("benchmarks.report").as_json(results)
    assert json.loads(written) == results
    assert sum('"measure"' in line for line in written.splitlines()) == len(results["results"])


# --- many calls


@pytest.mark.parametrize(
    "function",
    ["map_acompletion", "map_amap", "batch_tokenwire", "resume_tokenwire", "gate_none", "gate_few"],
)
def test_many_calls_are_measured(canned_server: dict[str, str], function: str) -> None:
    work = import_module("benchmarks.jobs.work")
    found = asyncio.run(getattr(work, function)(70, canned_server["http"]))
    assert all(value >= 0 for value in found.values())


def test_each_row_of_many_calls_has_its_function() -> None:
    jobs, work = import_module("benchmarks.jobs.contenders"), import_module("benchmarks.jobs.work")
    groups = jobs.groups()
    for contender in jobs.CONTENDERS:
        assert hasattr(work, contender.function)
        assert contender.group in groups
        assert contender.measure in jobs.MEASURES
    bases = {(contender.measure, contender.name) for contender in jobs.CONTENDERS}
    assert {(name, measure.base) for name, measure in jobs.MEASURES.items()} <= bases


def test_the_tables_of_many_calls_say_sizes_ratios_and_failures() -> None:
    rows = [
        {"measure": "gate", "contender": "without a gate", "count": 50, "samples": [{"us_per_call": 10.0, "per_s": 5.0}], "failures": []},
        {"measure": "gate", "contender": "at a gate, 4 wait", "count": 50, "samples": [{"us_per_call": 15.0, "per_s": 4.0}], "failures": []},
        {"measure": "gate", "contender": "at a gate, 4,000 wait", "count": 50, "samples": [], "failures": ["not over after 1 s"]},
    ]  # fmt: skip
    text = import_module("benchmarks.jobs.__main__")._text({**ABOUT, "sizes": {"gate": 50}, "results": rows})
    assert "Smaller than a complete run: gate 50 in place of 20,000." in text
    assert "| at a gate, 4 wait | 15.0 | 0.00 | 4.00 | 0.00 | 1.50 | 50 | 1 |" in text
    assert "| at a gate, 4,000 wait | failed: not over after 1 s |" in text


# --- the plots


def all_results() -> dict[str, Any]:
    """A figure for every contender in whatever is drawn."""
    contenders = import_module("benchmarks.contenders").CONTENDERS
    sample = {"us_per_chunk": 1234.5, "us_per_request": 80.0, "percentiles_us": list(range(100, 201))}
    cells = [("burst", ""), ("paced", "plain"), ("first_token", ""), *(("kinds_burst", kind) for kind in KINDS)]
    cells += [("in_flight", streams) for streams in ("64", "512", "2048", "4096")]
    rows = [
        {"measure": measure, "cell": cell, "contender": name, "samples": [{**sample, "us_per_chunk": 1.5 * 1.45**place}]}
        for measure, cell in cells
        for place, name in enumerate(contenders)
    ]
    return {"results": rows}


def shown_texts(plot: Any) -> list[Any]:
    """Title, legend, axis labels, what stands beside bars, and the tick labels within an axis' limits: others are not drawn."""
    (axes,) = plot.axes
    texts = [*plot.texts, *axes.texts, axes.xaxis.label, axes.yaxis.label]
    texts += [text for legend in plot.legends for text in legend.get_texts()]
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        texts += [text for place, text in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True) if low <= place <= high]
    return [text for text in texts if text.get_text()]


def test_no_label_of_a_plot_is_cut_off_or_covers_another() -> None:
    pytest.importorskip("matplotlib")
    drawn = import_module("benchmarks.plots").figures(all_results())
    assert list(drawn) == ["burst", "paced", "in_flight", "first_token", "kinds"]
    for name, plot in drawn.items():
        boxes = [(text.get_text(), text.get_window_extent()) for text in shown_texts(plot)]
        assert len(boxes) > 10, name
        cut_off = [label for label, box in boxes if min(box.x0, box.y0) < 0 or box.x1 > plot.bbox.x1 or box.y1 > plot.bbox.y1]
        assert cut_off == [], name
        for place, (label, box) in enumerate(boxes):
            assert [other for other, other_box in boxes[place + 1 :] if box.overlaps(other_box)] == [], (name, label)


def test_the_same_results_draw_the_same_bytes(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for folder in ("once", "again"):
        (tmp_path / folder).mkdir()
        import_module("benchmarks.plots").save(all_results(), tmp_path / folder)
    files = sorted(path.name for path in (tmp_path / "once").iterdir())
    assert files == ["burst.svg", "first_token.svg", "in_flight.svg", "kinds.svg", "paced.svg"]
    for file in files:
        assert (tmp_path / "once" / file).read_bytes() == (tmp_path / "again" / file).read_bytes()
        assert len((tmp_path / "once" / file).read_bytes()) < 64 * 1024


@pytest.mark.parametrize("shape", ["rows", "long"])
@pytest.mark.parametrize("module", ["tokenwire_astreaming", "openai", "jiter_prefix"])
def test_a_growing_object_is_whole_at_the_end(canned_server: dict[str, str], module: str, shape: str) -> None:
    found = measured("partials", module, canned_server["http"], kilobytes=1, shape=shape)
    assert found["ms_per_answer"] > 0
