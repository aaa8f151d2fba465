"""The targets of a call: the backend for its model, with the call prepared for all attempts."""

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, cast

import msgspec

from .._settings import Hedge, RetryPolicy, Timeouts, retries
from ..exceptions import APIError
from ..llms.backend import Backend, Options, Prepared, Request
from ..llms.bridge import Bridge
from ..types.attempts import RequestInfo
from ..wire.errors import name_request

if TYPE_CHECKING:
    from .deployments import Deployments, Seat


class Target(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A backend and model that a call can be sent to.

    Attributes:
        provider, model: their names, as in errors and responses.
        prepared: the call, ready for attempts.
        policy: how often to retry here.
        timeouts: for its attempts; the call's total is the first target's.
        request: what was prepared.
        choices: how many choices a stream has.
        fallbacks: the targets to call after this one has failed, in order.
        larger: the target to call if the prompt is too long for this one.
        hedge: when a second attempt begins concurrently with a slow one, None for never.
        choice: the deployments to choose from, None if the target is called itself.
        deployment: its name if it is one of several deployments, else None.
    """

    provider: str
    model: str
    prepared: Prepared
    policy: RetryPolicy
    timeouts: Timeouts
    request: Request
    choices: int = 1
    fallbacks: "tuple[Target, ...]" = ()
    larger: "Target | None" = None
    hedge: Hedge | None = None
    choice: "Choice | None" = None
    deployment: str | None = None

    @property
    def name(self) -> str:
        """Provider and model, such as "openai/gpt-4o-mini"."""
        return f"{self.provider}/{self.model}"

    @property
    def key(self) -> str:
        """The model and its address, by which statistics are kept."""
        return f"{self.name} {self.prepared.api_base}"

    @property
    def may_be_hedged(self) -> bool:
        """Whether it, or one of its fallbacks, has a hedge."""
        if self.hedge is not None:
            return True
        others = self.fallbacks if self.larger is None else (*self.fallbacks, self.larger)
        return any(other.may_be_hedged for other in others)


def target_of(request: Request) -> Target:
    """The target of a request.

    Raises:
        BadRequestError, AuthenticationError: a backend can't send it.
    """
    options = request.options
    backend = _backend(request)
    try:
        prepared = backend.prepare(request)
    except APIError as error:
        stamp(error, request.provider, request.model)
        raise
    return Target(
        request.provider,
        request.model,
        prepared,
        _policy(options, backend),
        options.timeouts,
        request,
        request.choices if request.stream else 1,
        tuple([_other(fallback, options) for fallback in request.fallbacks]) if request.fallbacks else (),
        None if request.larger is None else _other(request.larger, options),
        options.hedge,
        None if request.ask is None else Choice(request, request.ask),
    )


class Choice:
    """The deployments of one call. Each attempt calls one of them."""

    def __init__(self, request: Request, ask: Callable[[object, Mapping[str, Any]], Request]) -> None:
        self._deployments = cast("Deployments", request.backend)
        self._ask, self._options = ask, request.options

    def acquire(self, without: Collection[int]) -> "tuple[Seat, Target]":
        """Choose a deployment; one of `without` only if no other is up. Raises as `target_of` does."""
        seat = self._deployments.acquire(without)
        try:
            target = _other(self._deployments.request_of(seat.number, self._ask), self._options)
        except BaseException:
            seat.leave()
            raise
        policy = _policy(self._options, self._deployments)
        return seat, msgspec.structs.replace(target, policy=policy, hedge=self._options.hedge, deployment=seat.name)

    def has_other(self, without: Collection[int]) -> bool:
        """Whether a deployment other than these is up."""
        return self._deployments.has_other(without)


def _other(request: Request, first: Options) -> Target:
    """Another target of a call, with the first one's total time-out."""
    target = target_of(request)
    timeouts = msgspec.structs.replace(target.timeouts, total=first.timeouts.total)
    return msgspec.structs.replace(target, timeouts=timeouts)


def with_content(target: Target, content: object) -> Target:
    """The same target with other content. Raises as `target_of`."""
    request = msgspec.structs.replace(target.request, content=content, original=None)
    return msgspec.structs.replace(target, request=request, prepared=_backend(request).prepare(request))


def _backend(request: Request) -> Backend:
    return _mock(request) if request.options.mock else request.backend


def _policy(options: Options, backend: Backend) -> RetryPolicy:
    policy, number = options.retry_policy, options.num_retries
    if policy is None:
        return retries(backend.num_retries if number is None else number)
    return policy if number is None else msgspec.structs.replace(policy, num_retries=number)


def stamp(error: APIError, provider: str, model: str, request: RequestInfo | None = None) -> None:
    """Set provider, model and request on an error when it leaves the call: the layers below do not know them."""
    error.llm_provider = error.llm_provider or provider
    error.model = error.model or model
    if error.request is None and request is not None:
        name_request(error, request)


def _mock(request: Request) -> Backend:
    from ..llms.mock import Mock

    options = request.options
    return Bridge(Mock(options.mock, n=request.params.get("n", 1), seconds=options.timeouts.longest_wait))
