"""
The application: routes, the order of checks, and errors as S3's XML.

A request's handler runs on when its client leaves: it sees ClientGone where it reads
the body or writes the answer, and ends by itself, cleanly. What the router cancels is
only its own wait for the handler.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from functools import partial
from typing import Any

from attrs import define, field
from klein import Klein
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from s3proxy.errors import (
    BackendError,
    ClientGone,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotImplementedYet,
    S3Error,
    ServiceUnavailable,
    SlowDown,
    StoreError,
)
from s3proxy.manager.ports import Body
from s3proxy.s3 import operation, target
from s3proxy.s3.known import METHODS
from s3proxy.telemetry.requests import Requests
from s3proxy.web.answer import Answer, Later
from s3proxy.web.auth import Authenticator, Identity, check_payload_signed
from s3proxy.web.cors import Cors
from s3proxy.web.degraded import Degraded, check_readable
from s3proxy.web.drain import Drain
from s3proxy.web.forms import Forms
from s3proxy.web.gate import Gate
from s3proxy.web.limits import Limits
from s3proxy.web.patience import patiently
from s3proxy.web.readiness import Readiness
from s3proxy.web.relay import ShortRead, relay
from s3proxy.web.request import S3Request
from s3proxy.web.throttle import Throttle
from s3proxy.web.watch import Watch

#: What clients are told, and the first region that a signature may name.
REGION = "us-east-1"

# Operations differ in type; each handler takes the one that it is listed under.
Handler = Callable[[Any, Body, Identity], Awaitable[Answer | Later]]
Answerer = Callable[[S3Request], Awaitable[Answer]]
#: Gets a target and the values of its Authorization header.
Pages = Callable[[bytes, Sequence[str]], Awaitable[Answer]]

_METHODS = frozenset(method.encode() for method in METHODS) | {b"OPTIONS"}
_COPIES = (operation.CopyObject, operation.UploadPartCopy)
_ALLOW = {"Allow": ", ".join(sorted(METHODS))}


@define(eq=False)
class App:
    """
    What clients reach.

    :ivar gate: What lets an operation through.
    :ivar registry: What ``/metrics`` shows.
    :ivar domains: Below which a Host header names a bucket.
    :ivar pages: What ``/ui`` shows.
    :ivar tally: Is told the status of each answer that is S3's.
    :ivar meter: Counts S3's requests and operations; None = nobody does.
    :ivar degraded: Where reads go while the database's primary is away.
    """

    _authenticator: Authenticator
    _handlers: Mapping[type[object], Handler]
    _gate: Gate
    _registry: CollectorRegistry | None
    _drain: Drain
    _throttle: Throttle
    _clock: IReactorTime
    _limits: Limits
    _domains: Sequence[str]
    _cors: Cors
    _forms: Forms
    _pages: Pages | None = None
    _tally: Callable[[int], None] | None = None
    _meter: Requests | None = None
    _access: Watch = field(factory=Watch)
    _readiness: Readiness | None = None
    _degraded: Degraded = field(factory=Degraded)
    _log: Logger = field(factory=Logger, init=False)

    klein = Klein()
    klein.url_map.merge_slashes = False

    @klein.route("/health")
    def health(self, request: S3Request) -> Deferred[None] | None:
        """The process answers; nothing more is said, to anybody."""
        return self._serve(request, self._health)

    @klein.route("/ready")
    def ready(self, request: S3Request) -> Deferred[None] | None:
        """What works and what does not; see :mod:`s3proxy.web.readiness`."""
        return self._serve(request, self._ready)

    @klein.route("/metrics")
    def metrics(self, request: S3Request) -> Deferred[None] | None:
        """Prometheus' exposition; routed to only where it is enabled."""
        return self._serve(request, self._metrics)

    @klein.route("/ui")
    def ui(self, request: S3Request) -> Deferred[None] | None:
        """The operator's pages; routed to only where they are enabled."""
        return self._serve(request, self._ui)

    @klein.route("/", branch=True)
    def s3(self, request: S3Request) -> Deferred[None] | None:
        """Everything else, from the raw target."""
        handling = self._guard(request, self._answer)
        if self._meter is not None:
            handling = self._meter.over(request, handling)
        return self._run(request, handling)

    def _serve(self, request: S3Request, answer: Answerer) -> Deferred[None] | None:
        return self._run(request, self._guard(request, answer))

    def _run(
        self, request: S3Request, handling: Coroutine[Any, Any, None]
    ) -> Deferred[None] | None:
        """Start to answer; the router finishes the request when the result fires."""
        self._drain.begin()
        work = Deferred.fromCoroutine(self._access.over(request, handling))
        work.addBoth(self._over, request)
        if work.called:
            return None
        # The router cancels this when the client leaves; the work goes on.
        door: Deferred[None] = Deferred()
        work.addCallback(door.callback)
        return door

    def _over(self, _: object, request: S3Request) -> None:
        self._drain.end()
        if self._tally is not None and request.route == b"":
            self._tally(request.code)

    async def _guard(self, request: S3Request, answer: Answerer) -> None:
        """Answer, whatever happens, or break the connection off."""
        error: S3Error
        try:
            await self._send(request, await answer(request))
            return
        except S3Error as why:
            error = why
        except (ClientGone, CancelledError):
            request.break_off()
            return
        except (StoreError, BackendError, ShortRead) as why:
            self._log.warn("{id}: {why}", id=request.request_id, why=why)
            error = ServiceUnavailable()
        except Exception:
            self._log.failure("request {id} failed", id=request.request_id)
            error = InternalError()
        request.trail.error = error.code
        if request.gone:
            return
        if request.startedWriting and not request.kept_alive:
            # The client must not take what it has for the whole.
            self._log.warn(
                "answer broken off: {id} {path}",
                id=request.request_id,
                path=_printable(request.path),
            )
            request.break_off()
            return
        # The throttle tells of slowing down, and seldom.
        if error.status >= 500 and not isinstance(error, SlowDown):
            # What is not served is no trouble here: some clients ask for it each time.
            is_unserved = isinstance(error, NotImplementedYet)
            tell = self._log.info if is_unserved else self._log.warn
            tell(
                "{status} {code}: {id} {method} {path}: {message}",
                status=error.status,
                code=error.code,
                id=request.request_id,
                method=_printable(request.method),
                path=_printable(request.path),
                message=error.message,
            )
        document = Answer.error(
            error, request_id=request.request_id, resource=request.path
        )
        request.write_answer(document)

    async def _health(self, request: S3Request) -> Answer:
        return Answer.text(b"ok")

    async def _ready(self, request: S3Request) -> Answer:
        assert self._readiness is not None
        return await self._readiness.report(draining=self._drain.draining)

    async def _metrics(self, request: S3Request) -> Answer:
        assert self._registry is not None
        self._admit(request)
        return Answer.text(generate_latest(self._registry), CONTENT_TYPE_LATEST)

    async def _ui(self, request: S3Request) -> Answer:
        assert self._pages is not None
        self._admit(request)
        shown = request.requestHeaders.getRawHeaders("authorization", [])
        return await self._pages(request.uri, shown)

    def _admit(self, request: S3Request) -> None:
        """
        Before anything that costs.

        :raises SlowDown: There is too much at once.
        """
        if request.is_spare:
            raise SlowDown
        forwarded = request.requestHeaders.getRawHeaders("x-forwarded-for", [])
        peer = getattr(request.client, "host", None)
        self._throttle.admit(peer, forwarded, self._drain.in_flight)

    async def _answer(self, request: S3Request) -> Answer:
        """Check, in the order that tells a stranger nothing; then handle."""
        self._admit(request)
        headers = _headers(request)
        if [name for name, _ in headers].count("host") != 1:
            raise InvalidRequest("There must be one Host header.")
        if request.method not in _METHODS:
            raise MethodNotAllowed(headers=_ALLOW)
        target.split(request.uri)
        return await self._degraded.over(
            request, partial(self._checked, request, headers)
        )

    async def _checked(
        self, request: S3Request, headers: Sequence[tuple[str, str]]
    ) -> Answer:
        if request.method == b"OPTIONS":
            return await self._cors.preflight(request.uri, headers)
        request.more_headers = await self._cors.headers(
            request.method, request.uri, headers
        )
        if self._forms.is_form(request.method, request.uri, headers):
            return await self._forms.post(
                request.uri, headers, request.body, partial(self._carry_out, request)
            )
        identity = self._authenticator.authenticate(
            request.method, request.uri, headers
        )
        headers = [*headers, *identity.headers]
        op = operation.parse(request.method, request.uri, headers, self._domains)
        return await self._carry_out(request, op, request.body, identity)

    async def _carry_out(
        self,
        request: S3Request,
        op: operation.Operation,
        body: Body,
        identity: Identity,
    ) -> Answer:
        """Do what is asked for, if it is granted."""
        request.trail.note(op, identity.access_key_id)
        if self._authenticator.require_signed_payload:
            check_payload_signed(
                identity,
                encrypted=request.encrypted,
                bodiless=request.body.length == 0,
            )
        check_readable(op)
        identity = await self._gate.admit(op, identity)
        # A copy's bytes come from a backend, and after this answer has begun.
        length = None if isinstance(op, _COPIES) else request.body.length
        meter, name = self._meter, type(op).__name__
        metered = nullcontext() if meter is None else meter.operation(name)
        with metered, self._throttle.transfer(length):
            answer = await self._handlers[type(op)](op, body, identity)
            if isinstance(answer, Later):
                return await patiently(
                    answer.begin(),
                    request.keep_alive,
                    clock=self._clock,
                    first_seconds=self._limits.patience_seconds,
                    each_seconds=self._limits.beat_seconds,
                )
        return answer

    async def _send(self, request: S3Request, answer: Answer) -> None:
        if answer.stream is None:
            if not request.gone:
                request.write_answer(answer)
            return
        assert answer.length is not None
        with ExitStack() as stack:
            try:
                stack.enter_context(self._throttle.transfer(answer.length))
            except SlowDown:
                answer.stream.abort()
                raise
            if not request.gone:
                request.set_head(answer)
            await relay(
                request,
                answer.stream,
                answer.length,
                clock=self._clock,
                stall_seconds=self._limits.stall_seconds,
            )


def _headers(request: S3Request) -> Sequence[tuple[str, str]]:
    """Lower-case names, latin-1 decoded values; repeats in their order."""
    return [
        (name.lower().decode("ascii"), value.decode("latin-1"))
        for name, values in request.requestHeaders.getAllRawHeaders()
        for value in values
    ]


def _printable(raw: bytes) -> str:
    """Raw bytes of a client, for one line of a log."""
    return raw.decode("ascii", "backslashreplace")
