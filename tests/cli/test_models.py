"""`tokenwire models`."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tokenwire.testing import Endpoint, Reply

LISTED = {"object": "list", "data": [{"id": "small", "object": "model", "novel": 1}, {"id": "la\x1brge", "object": "model"}]}


def test_the_models_are_listed(tokenwire: Callable[..., Any]) -> None:
    with Endpoint(Reply(json=LISTED)) as endpoint:
        assert tokenwire("models", "--api-base", endpoint.url) == (0, "small\nla\ufffdrge\n", "")
    assert (endpoint.requests[0].method, endpoint.requests[0].path) == ("GET", "/v1/models")


def test_as_lines_of_json(tokenwire: Callable[..., Any]) -> None:
    with Endpoint(Reply(json=LISTED)) as endpoint:
        run = tokenwire("models", "--api-base", endpoint.url, "--json")
    assert [json.loads(line)["id"] for line in run.out.splitlines()] == ["small", "la\x1brge"]
    assert json.loads(run.out.splitlines()[0])["novel"] == 1


def test_the_environment_names_the_provider(tokenwire: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENWIRE_MODEL", "no-such-provider/m")
    run = tokenwire("models")
    assert (run.status, run.out) == (2, "")
    assert "no-such-provider" in run.err


def test_a_failure_is_one_line_without_the_key(tokenwire: Callable[..., Any]) -> None:
    refusal = Reply(status=401, json={"error": {"message": "no such key: sk-secret"}})
    with Endpoint(refusal) as endpoint:
        run = tokenwire("models", "--api-base", endpoint.url, "--api-key", "sk-secret")
    assert (run.status, run.out) == (1, "")
    assert run.err.startswith("tokenwire: HTTP 401: ")
    assert run.err.count("\n") == 1
    assert "sk-secret" not in run.err


def test_a_wrong_address_is_named_by_its_option(tokenwire: Callable[..., Any]) -> None:
    run = tokenwire("models", "--api-base", "nowhere")
    assert run.status == 2
    assert "--api-base must be" in run.err
