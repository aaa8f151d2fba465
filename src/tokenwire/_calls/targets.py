"""Who answers a call: the backend that its model names, and what was prepared there for all of its attempts."""

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, cast

import msgspec

from .._settings import Hedge, RetryPolicy, Timeouts, retries
from ..exceptions import APIError
from ..llms.backend import Backend, Options, Prepared, Request
from ..llms.bridge import Bridge

if TYPE_CHECKING:
    from .deployments import Deployments, Seat


class Target(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Who answers a call.

    Attributes:
        provider, model: their names, as errors and responses have them.
        prepared: the call, ready for attempts.
        policy: how often it is tried again here.
        timeouts: of its attempts; the call's total is the first target's.
        request: what was prepared.
        choices: how many choices a stream is asked for.
        fallbacks: who is asked instead once this one has failed, in order.
        larger: who is asked instead where the prompt does not fit.
        hedge: when a second attempt begins beside a slow one, None for never.
        choice: the deployments that this stands for, None where it is asked itself.
        deployment: the name of the one that this is, None where it is none of several.
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
        """As "openai/gpt-4o-mini"."""
        return f"{self.provider}/{self.model}"

    @property
    def key(self) -> str:
        """The model and its address: what is learned of one is not true of others."""
        return f"{self.name} {self.prepared.api_base}"

    @property
    def may_be_hedged(self) -> bool:
        """Whether it has a hedge, or one that is asked instead has."""
        if self.hedge is not None:
            return True
        others = self.fallbacks if self.larger is None else (*self.fallbacks, self.larger)
        return any(other.may_be_hedged for other in others)


def target_of(request: Request) -> Target:
    """The target of a request.

    Raises:
        BadRequestError, AuthenticationError: a backend can't send it as it is.
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
    """The deployments of one call. An attempt asks one of them."""

    def __init__(self, request: Request, ask: Callable[[object, Mapping[str, Any]], Request]) -> None:
        self._deployments = cast("Deployments", request.backend)
        self._ask, self._options = ask, request.options

    def take(self, without: Collection[int]) -> "tuple[Seat, Target]":
        """The one to ask now; one of `without` only where no other one is up. Raises as `target_of` does."""
        seat = self._deployments.take(without)
        try:
            target = _other(self._deployments.request_of(seat.number, self._ask), self._options)
        except BaseException:
            seat.leave()
            raise
        policy = _policy(self._options, self._deployments)
        return seat, msgspec.structs.replace(target, policy=policy, hedge=self._options.hedge, deployment=seat.name)

    def has_other(self, without: Collection[int]) -> bool:
        """Whether one is up that is not among these."""
        return self._deployments.has_other(without)


def _other(request: Request, first: Options) -> Target:
    """Another target of a call, whose total is the first one's."""
    target = target_of(request)
    timeouts = msgspec.structs.replace(target.timeouts, total=first.timeouts.total)
    return msgspec.structs.replace(target, timeouts=timeouts)


def with_content(target: Target, content: object) -> Target:
    """The same target, asked something else. Raises as `target_of`."""
    request = msgspec.structs.replace(target.request, content=content, original=None)
    return msgspec.structs.replace(target, request=request, prepared=_backend(request).prepare(request))


def _backend(request: Request) -> Backend:
    return _mock(request) if request.options.mock else request.backend


def _policy(options: Options, backend: Backend) -> RetryPolicy:
    policy, number = options.retry_policy, options.num_retries
    if policy is None:
        return retries(backend.num_retries if number is None else number)
    return policy if number is None else msgspec.structs.replace(policy, num_retries=number)


def stamp(error: APIError, provider: str, model: str) -> None:
    """Say on an error that leaves its call whose call it was: no layer below needs to know."""
    error.llm_provider = error.llm_provider or provider
    error.model = error.model or model


def _mock(request: Request) -> Backend:
    from ..llms.mock import Mock

    options = request.options
    return Bridge(Mock(options.mock, n=request.params.get("n", 1), seconds=options.timeouts.longest_wait))
