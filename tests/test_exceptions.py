"""Exceptions made by users: as ours are documented, and as LiteLLM's are made."""

import pickle
from typing import Any

import pytest

import tokenwire
from tokenwire import exceptions

CLASSES = [cls for name in exceptions.__all__ if issubclass(cls := getattr(exceptions, name), tokenwire.APIError)]
MODEL_FIRST = {
    "BadRequestError", "ContextWindowExceededError", "ContentPolicyViolationError", "ImageFetchError", "RejectedRequestError",
    "PaymentRequiredError", "NotFoundError", "UnprocessableEntityError", "Timeout",
}  # fmt: skip
each_class = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)


@each_class
def test_litellm_s_positional_order(cls: Any) -> None:
    if cls is tokenwire.UnknownProviderError:
        error = cls("mine", "theirs")
        assert ("mine" in error.message, "theirs" in error.message) == (True, True)
    else:
        details = ("mine", "theirs") if cls.__name__ in MODEL_FIRST else ("theirs", "mine")
        error = cls("what happened", *details)
        assert error.message == "what happened"
    assert (error.model, error.llm_provider, error.status_code) == ("mine", "theirs", cls.default_status)
    assert pickle.loads(pickle.dumps(error)).__dict__ == error.__dict__


@each_class
def test_litellm_s_keywords(cls: Any) -> None:
    error = cls(message="no", model="mine", llm_provider="theirs", litellm_debug_info="why", max_retries=2, num_retries=1)
    assert (error.message, error.model, error.llm_provider) == ("no", "mine", "theirs")
    assert (error.litellm_debug_info, error.max_retries, error.num_retries) == ("why", 2, 1)


@each_class
def test_our_own_keywords(cls: Any) -> None:
    error = cls("no", status_code=418, code="teapot", fault="network", headers={"a": "b"})
    assert (error.message, error.status_code, error.code, error.fault, error.headers) == (
        "no",
        418,
        "teapot",
        "network",
        {"a": "b"},
    )


@each_class
def test_what_no_class_takes_is_refused(cls: Any) -> None:
    with pytest.raises(TypeError, match="nonsense"):
        cls("no", nonsense=1)


@pytest.mark.parametrize("cls", [tokenwire.APIError, tokenwire.MockException])
def test_a_status_first(cls: Any) -> None:
    error = cls(503, "no", "theirs", "mine", object())
    assert (error.status_code, error.message, error.llm_provider, error.model) == (503, "no", "theirs", "mine")
    assert error.response is None


def test_more_by_position() -> None:
    response: Any = object()
    assert tokenwire.RateLimitError("no", "theirs", "mine", response).response is response
    assert tokenwire.UnsupportedParamsError("no", "theirs", "mine", 422).status_code == 422
    late = tokenwire.Timeout("no", "mine", "theirs", "why", 2, 1, {"x": "y"}, 504)
    assert (late.status_code, late.headers, late.budget) == (504, {"x": "y"}, None)
    assert tokenwire.Timeout("no", exception_status_code=504).status_code == 504
    with pytest.raises(TypeError, match="positional"):
        tokenwire.RateLimitError("no", *range(9))


def test_no_request_is_kept() -> None:
    """There may be a key in it."""
    error = tokenwire.APIConnectionError("no", "theirs", "mine", "the request", request_data={"key": "secret"})  # type: ignore[call-arg]
    assert "the request" not in error.__dict__.values()
    assert "secret" not in repr(error.__dict__)
