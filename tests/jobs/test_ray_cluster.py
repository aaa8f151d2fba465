"""The class in Ray Data: a local cluster of two workers, files in and files out. Skipped where Ray is not installed."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tokenwire.testing import Endpoint, Received, Reply, completion

ray: Any = pytest.importorskip("ray", reason="ray is not installed: pip install 'tokenwire[ray]'")
pytestmark = [
    pytest.mark.filterwarnings("default"),  # Ray's own
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL"),
]

from tokenwire.ray import Completions  # noqa: E402

ROWS = 400


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """Ray keeps threads and sockets in this process."""


class Named(Completions):
    """Says in each request which process sends it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, headers={"x-process": str(os.getpid())}, **options)


class Server:
    """Answers each prompt with itself; kills the process that sends the request of a number."""

    def __init__(self, kill_at: int = 0) -> None:
        self._kill_at = kill_at
        self._lock = threading.Lock()
        self.asked: list[str] = []
        self.killed: list[int] = []
        self.processes: set[int] = set()

    def __call__(self, request: Received) -> Reply:
        text, process = request.json()["messages"][-1]["content"], int(request.headers["x-process"])
        with self._lock:
            self.asked.append(text)
            self.processes.add(process)
            if len(self.asked) == self._kill_at:
                self.killed.append(process)
                os.kill(process, signal.SIGKILL)
        if text == "bad":
            return Reply(status=422, json={"error": {"message": "it is bad"}})
        return Reply(json=completion(f"said {text}"), delay=0.005)


def prompts(folder: Path, count: int) -> str:
    path = folder / "in.jsonl"
    texts = ["bad" if number == 7 else f"number {number}" for number in range(count)]
    path.write_text("".join(json.dumps({"prompt": text, "label": place}) + "\n" for place, text in enumerate(texts)))
    return str(path)


def mapped(dataset: Any, url: str, *, batch_format: str | None = "pyarrow", **options: Any) -> Any:
    keywords = {"model": "openai/m", "api_base": url, "api_key": "k", "actors": 2, "max_concurrency": 64, **options}
    return dataset.map_batches(
        Named,
        fn_constructor_kwargs=keywords,
        compute=ray.data.ActorPoolStrategy(size=2),
        batch_format=batch_format,
        batch_size=25,
        num_cpus=0.5,
    )


@pytest.mark.parametrize("kill_at", [0, 150], ids=["whole", "a worker is killed"])
def test_json_in_and_parquet_out(kill_at: int, tmp_path: Path) -> None:
    server = Server(kill_at)
    with Endpoint(server) as endpoint:
        dataset = ray.data.read_json(prompts(tmp_path, ROWS)).repartition(8)
        mapped(dataset, endpoint.url).write_parquet(str(tmp_path / "out"))
    rows = sorted(ray.data.read_parquet(str(tmp_path / "out")).take_all(), key=lambda row: row["label"])
    assert [row["label"] for row in rows] == list(range(ROWS))
    failed = [row for row in rows if row["error"] is not None]
    assert [(row["label"], row["error"]) for row in failed] == [(7, "UnprocessableEntityError")]
    assert all(row["text"] == f"said {row['prompt']}" and row["total_tokens"] > 0 for row in rows if row not in failed)
    assert len(server.killed) == (1 if kill_at else 0)
    assert len(server.processes) == 2 + len(server.killed)
    assert set(server.asked) == {row["prompt"] for row in rows}
    if not kill_at:
        assert len(server.asked) == ROWS


@pytest.mark.parametrize("batch_format", [None, "numpy", "pandas"])
def test_other_batches(batch_format: str | None, tmp_path: Path) -> None:
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi", "name": "Eve"}]
    rows = [{"chat": chat[number % 2 :], "tensor": [[1.0, 2.0], [3.0, 4.0]], "temperature": 0.5} for number in range(6)]
    with Endpoint(Server()) as endpoint:
        dataset = mapped(
            ray.data.from_items(rows), endpoint.url, batch_format=batch_format, input="chat", row_params=["temperature"]
        )
        found = dataset.take_all()
        types = dict(zip(dataset.schema().names, dataset.schema().types, strict=True))
        sent = [request.json() for request in endpoint.requests]
    assert [row["text"] for row in found] == ["said Hi"] * 6
    assert all(row["temperature"] == 0.5 for row in found)
    assert [str(types[name]) for name in ("error", "total_tokens", "seconds")] == ["string", "int64", "double"]
    assert {len(body["messages"]) for body in sent[-6:]} == {1, 2}
    assert all(body["messages"][-1] == chat[1] and body["temperature"] == 0.5 for body in sent[-6:])
    assert all("name" not in body["messages"][0] for body in sent[-6:] if len(body["messages"]) == 2)


def test_what_is_wrong_ends_the_job_with_words(tmp_path: Path) -> None:
    with Endpoint(Server()) as endpoint:
        dataset = ray.data.read_json(prompts(tmp_path, 4))
        with pytest.raises(Exception, match="input names the column 'question', but the batch has prompt, label"):
            mapped(dataset, endpoint.url, input="question").take_all()
        assert endpoint.requests == []
