"""Several targets under one name: the object that users create, and how a call's attempts get theirs.

Each deployment is a request of its own, checked as fallbacks are: it has the call's keywords, overridden by its own.
`balance` decides which one is called.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .._keywords import FALLBACKS
from ..exceptions import APIError, RateLimitError, ServiceUnavailableError, refused, wrong
from ..llms.backend import Request, Senders, SharedBackend
from ..llms.base import ChunkSource
from ..types._response import Response
from ..types.attempts import DeploymentStats, RequestInfo
from ..wire.convert import Shape
from .balance import Balance, Ending
from .unknown import KNOWN, nearest

NUM_RETRIES = 2  # attempts after the first, by default
_REQUEST_S_OWN = frozenset({400, 409, 413, 422})  # another deployment would answer the same, and this one is healthy
_ITS_OWN = ("model", "name", "weight")
_THE_CALL_S = ("stream", "hedge", "num_retries", "max_retries", "retry_policy", *FALLBACKS)


class Deployments(SharedBackend):
    """Several targets that answer under one name: for `register`, or among a client's `handlers`.

        tokenwire.register("pool", Deployments([
            {"model": "openai/m", "api_base": "http://one:8000/v1", "weight": 2},
            {"model": "openai/m", "api_base": "http://two:8000/v1"},
            "mine/local",
        ]))
        await acompletion("pool", messages)  # or "pool/...": the part after the "/" is ignored

    A call goes to the deployment with the fewest calls in flight relative to its weight; a retry or a hedge goes to another
    one. A deployment that failed several times in a row, or refused a call (429, 503), is not called until its cool-down is
    over; then one call probes it. `Retry-After` sets the length of the cool-down; otherwise it is `cool_down`, doubled with
    each probe that fails. If none is up, the one whose cool-down ends first is called.

    Args:
        targets: models' names, or dicts with "model" and other keywords of a call, such as "api_base" and "api_key".
            "weight" is the deployment's share of the calls, 1 by default; "name" is its name in `attempts` and `stats`, by
            default the model.
        cool_down: seconds of a first cool-down.
        failures: how many failures in a row start a cool-down.

        The object holds the state of its deployments: clients that are given the same object share it. Clients may be in
        several threads.

    Raises:
        BadRequestError: an argument is wrong; the message names it.
    """

    json_mode: str = "schema"  # not used: each deployment has its own
    num_retries: int = NUM_RETRIES

    def __init__(self, targets: Sequence[Any], *, cool_down: float = 5.0, failures: int = 3) -> None:
        if not isinstance(targets, list | tuple) or not targets:
            raise wrong("deployments", 'a list of models\' names, or of dicts such as {"model": "openai/m"}', targets)
        if isinstance(cool_down, bool) or not isinstance(cool_down, int | float) or not 0 < cool_down < math.inf:
            raise wrong("cool_down", "a number of seconds above 0", cool_down)
        if isinstance(failures, bool) or not isinstance(failures, int) or failures < 1:
            raise wrong("failures", "a whole number, 1 or more", failures)
        entries = [_Entry(f"deployments[{index}]", target) for index, target in enumerate(targets)]
        names = [entry.name for entry in entries]
        self._names = [f"{name} ({index})" if names.count(name) > 1 else name for index, name in enumerate(names)]
        self._entries = entries
        self._balance = Balance([entry.weight for entry in entries], cool_down, failures)
        self._lock = threading.Lock()
        self._left: deque[tuple[int, int, Ending, float | None]] = deque()  # a finalizer's thread may hold the lock
        self._checked: set[int] = set()

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<Deployments {', '.join(self._names)}>"  # without keys

    @property
    def stats(self) -> tuple[DeploymentStats, ...]:
        """The state of each deployment, in the order given."""
        with self._lock:
            self._take_back()
            moment = time.monotonic()
            states = [self._balance.state_of(number, moment) for number in range(len(self))]
        return tuple(
            DeploymentStats(name=name, state=state.value, in_flight=in_flight, cooling=cooling)
            for name, (state, in_flight, cooling) in zip(self._names, states, strict=True)
        )

    @property
    def named(self) -> tuple[tuple[str, str | None], ...]:
        """The models that they name, each with the `custom_llm_provider` that goes with it."""
        return tuple((entry.model, entry.keywords.get("custom_llm_provider")) for entry in self._entries)

    @property
    def models(self) -> tuple[str, ...]:
        """The deployments' models."""
        return tuple(entry.model for entry in self._entries)

    def dialect_of(self, model: str) -> str:
        """See `llms.backend.Backend`: each of them has its own."""
        return ""

    def prepare(self, request: Request) -> "Unchosen":
        """See `llms.backend.Backend`."""
        return Unchosen(len(self))

    def request_of(
        self, number: int, ask: Callable[[object, Mapping[str, Any]], Request], *, prepared: bool = False
    ) -> Request:
        """The request to one of them, checked; if `prepared`, it is also checked that it can be sent.

        Args:
            ask: makes the request from a model and keywords.

        Raises:
            BadRequestError: it can't be sent; the message names the deployment.
        """
        entry = self._entries[number]
        try:
            request = ask(entry.model, entry.keywords)
            if isinstance(request.backend, Deployments):
                raise refused(entry.place, f"{entry.model!r} has deployments itself")
            if prepared:
                request.backend.prepare(request)
        except APIError as error:
            if not error.message.startswith(entry.place):
                error.message = f"{entry.place}: {error.message}"
            error.param = "deployments"
            raise
        return request

    def check(self, who: object, ask: Callable[[object, Mapping[str, Any]], Request]) -> None:
        """Check all of them at a client's first call, so that a mistake in any of them is found before anything is sent."""
        if id(who) in self._checked:
            return
        self._checked.add(id(who))  # so that deployments that contain themselves do not recurse for ever
        try:
            for number in range(len(self)):
                self.request_of(number, ask, prepared=True)
        except BaseException:
            self._checked.discard(id(who))
            raise

    def acquire(self, without: Iterable[int] = ()) -> "Seat":
        """Choose a deployment for one attempt."""
        with self._lock:
            self._take_back()
            number, epoch = self._balance.acquire(time.monotonic(), without)
        self._settle()
        return Seat(self, number, epoch, self._names[number])

    def has_other(self, without: Iterable[int]) -> bool:
        """Whether a deployment other than these is up."""
        with self._lock:
            self._take_back()
            return self._balance.has_other(time.monotonic(), without)

    def leave(self, number: int, epoch: int, ending: Ending, patience: float | None) -> None:
        """Note that an attempt at one of them has ended."""
        self._left.append((number, epoch, ending, patience))
        self._settle()

    def _settle(self) -> None:
        """Process the attempts that have ended. The holder of the lock does it for threads that find it locked."""
        while self._left and self._lock.acquire(blocking=False):
            try:
                self._take_back()
            finally:
                self._lock.release()

    def _take_back(self) -> None:
        while self._left:
            number, epoch, ending, patience = self._left.popleft()
            self._balance.leave(number, epoch, ending, time.monotonic(), patience)


class Seat:
    """An attempt at one deployment, until it `leave`s.

    Attributes:
        number, name: the deployment's.
    """

    __slots__ = ("_deployments", "_epoch", "name", "number")

    def __init__(self, deployments: Deployments, number: int, epoch: int, name: str) -> None:
        self._deployments: Deployments | None = deployments
        self._epoch = epoch
        self.number: int = number
        self.name: str = name

    def leave(self, error: APIError | None = None, *, answered: bool = False) -> None:
        """End it: with an error, answered, or with an unknown result. Safe to call twice."""
        deployments, self._deployments = self._deployments, None
        if deployments is not None:
            ending = Ending.ANSWERED if answered else Ending.UNKNOWN
            patience = None if error is None else error.retry_after
            deployments.leave(self.number, self._epoch, ending if error is None else _ending_of(error), patience)

    def __del__(self) -> None:
        self.leave()  # a stream was dropped before its end


def _ending_of(error: APIError) -> Ending:
    """What an attempt's error shows about its deployment."""
    if error.fault == "caller":
        return Ending.UNKNOWN
    if isinstance(error, RateLimitError | ServiceUnavailableError) or error.retry_after is not None:
        return Ending.REFUSED
    return Ending.ANSWERED if error.status_code in _REQUEST_S_OWN and error.response is not None else Ending.FAILED


class Unchosen:
    """A call whose deployment is chosen for each attempt; a `Prepared` that is never sent itself."""

    api_base: str | None = None
    request: RequestInfo | None = None

    def __init__(self, count: int) -> None:
        self.address: str = f"one of {count} deployments"

    def traced(self, headers: Callable[[], dict[str, str]], waits: list[float]) -> "Unchosen":
        """Never called."""
        raise NotImplementedError

    async def answer(self, via: Senders, deadline: float) -> Response:
        """Never called."""
        raise NotImplementedError

    async def open(self, via: Senders, shape: Shape, deadline: float) -> ChunkSource[Any]:
        """Never called."""
        raise NotImplementedError


class _Entry:
    """One deployment, as the user wrote it."""

    def __init__(self, place: str, given: object) -> None:
        self.place = place
        keywords: dict[str, Any] = {**given} if isinstance(given, Mapping) else {"model": given}
        model, weight = keywords.pop("model", None), keywords.pop("weight", 1)
        if not isinstance(model, str) or not model:
            shown = sorted(map(str, given)) if isinstance(given, Mapping) else given  # without keys
            raise wrong(place, 'a model\'s name, or a dict of keywords with "model" among them', shown)
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < math.inf:
            raise wrong(f"{place}.weight", "a number above 0", weight)
        name = keywords.pop("name", model)
        if not isinstance(name, str) or not name:
            raise wrong(f"{place}.name", "a str", name)
        for word in keywords:
            if word not in KNOWN and (meant := nearest(str(word), _ITS_OWN, shortest=3)) is not None:
                raise refused("deployments", f"{place} has {word!r}: did you mean {meant}?")
        for word in _THE_CALL_S:
            if word in keywords:
                raise refused("deployments", f"{place} must not have {word}: pass it to the call, for all deployments")
        self.model, self.weight, self.name, self.keywords = model, float(weight), name, keywords
