"""
The application: routes, the order of checks, and errors as S3's XML.

A request's handler runs on when its client leaves: it sees ClientGone where it reads
the body or writes the answer, and ends by itself, cleanly. What the router cancels is
only its own wait for the handler.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import Any

from attrs import define, field
from klein import Klein
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from s3proxy.config_model import RateLimitConfig, ServerConfig
from s3proxy.errors import (
    BackendError,
    ClientGone,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    S3Error,
    ServiceUnavailable,
    SlowDown,
    StoreError,
)
from s3proxy.manager.ports import Body
from s3proxy.s3 import operation, target
from s3proxy.s3.known import METHODS
from s3proxy.web.answer import Answer, Later
from s3proxy.web.auth import Authenticator, Identity, check_payload_signed
from s3proxy.web.buckets import BucketHandlers
from s3proxy.web.copies import CopyHandlers
from s3proxy.web.deletion import DeletionHandlers
from s3proxy.web.descriptions import DescriptionHandlers
from s3proxy.web.directory import BucketDirectory
from s3proxy.web.drain import Drain
from s3proxy.web.gate import Gate
from s3proxy.web.limits import Limits
from s3proxy.web.objects import ObjectHandlers
from s3proxy.web.patience import patiently
from s3proxy.web.ports import BucketTagsPort, CopiesPort, ObjectsPort, UploadsPort
from s3proxy.web.relay import ShortRead, relay
from s3proxy.web.request import S3Request
from s3proxy.web.requestid import request_id
from s3proxy.web.site import StreamingSite
from s3proxy.web.tagging import TaggingHandlers
from s3proxy.web.throttle import Throttle
from s3proxy.web.uploads import UploadHandlers

#: What clients are told, and the first region that a signature may name.
REGION = "us-east-1"

# Operations differ in type; each handler takes the one that it is listed under.
Handler = Callable[[Any, Body, Identity], Awaitable[Answer | Later]]
Answerer = Callable[[S3Request], Awaitable[Answer]]

_METHODS = frozenset(method.encode() for method in METHODS) | {b"OPTIONS"}
_COPIES = (operation.CopyObject, operation.UploadPartCopy)
_ALLOW = {"Allow": ", ".join(sorted(METHODS))}


@define(eq=False)
class App:
    """
    What clients reach.

    :ivar gate: What lets an operation through.
    :ivar registry: What ``/metrics`` shows.
    """

    _authenticator: Authenticator
    _handlers: Mapping[type[object], Handler]
    _gate: Gate
    _registry: CollectorRegistry | None
    _drain: Drain
    _throttle: Throttle
    _clock: IReactorTime
    _limits: Limits
    _require_signed_payload: bool = False
    _log: Logger = field(factory=Logger, init=False)

    klein = Klein()
    klein.url_map.merge_slashes = False

    @klein.route("/health")
    def health(self, request: S3Request) -> Deferred[None] | None:
        """The process answers; nothing more is said, to anybody."""
        return self._serve(request, self._health)

    @klein.route("/metrics")
    def metrics(self, request: S3Request) -> Deferred[None] | None:
        """Prometheus' exposition; routed to only where it is enabled."""
        return self._serve(request, self._metrics)

    @klein.route("/", branch=True)
    def s3(self, request: S3Request) -> Deferred[None] | None:
        """Everything else, from the raw target."""
        return self._serve(request, self._answer)

    def _serve(self, request: S3Request, answer: Answerer) -> Deferred[None] | None:
        """Start to answer; the router finishes the request when the result fires."""
        self._drain.begin()
        work = Deferred.fromCoroutine(self._guard(request, answer))
        work.addBoth(lambda _: self._drain.end())
        if work.called:
            return None
        # The router cancels this when the client leaves; the work goes on.
        door: Deferred[None] = Deferred()
        work.addCallback(door.callback)
        return door

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
            self._log.warn(
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

    async def _metrics(self, request: S3Request) -> Answer:
        assert self._registry is not None
        self._admit(request)
        return Answer.text(generate_latest(self._registry), CONTENT_TYPE_LATEST)

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
        identity = self._authenticator.authenticate(
            request.method, request.uri, headers
        )
        if self._require_signed_payload:
            check_payload_signed(
                identity,
                encrypted=request.encrypted,
                bodiless=request.body.length == 0,
            )
        headers = [*headers, *identity.headers]
        op = operation.parse(request.method, request.uri, headers)
        identity = await self._gate.admit(op, identity)
        # A copy's bytes come from a backend, and after this answer has begun.
        length = None if isinstance(op, _COPIES) else request.body.length
        with self._throttle.transfer(length):
            answer = await self._handlers[type(op)](op, request.body, identity)
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


def make_site(
    objects: ObjectsPort,
    authenticator: Authenticator,
    *,
    uploads: UploadsPort,
    copies: CopiesPort,
    bucket_tags: BucketTagsPort,
    server: ServerConfig,
    clock: IReactorTime,
    now: Callable[[], datetime],
    buckets: BucketDirectory,
    region: str = REGION,
    metrics_path: str | None = None,
    registry: CollectorRegistry | None = None,
    request_ids: Callable[[], str] = request_id,
    limits: Limits | None = None,
    throttle: Throttle | None = None,
) -> StreamingSite:
    """
    Build the front door; listen with it, and stop it with ``site.drain.drain``.

    :param now: Wall clock, aware.
    :param buckets: Which buckets there are.
    :param region: What clients are told.
    :param metrics_path: Where *registry* is shown; None = nowhere.
    :param throttle: Who is let in; by default as *server* has it, without a rate limit.
    """
    limits = limits or Limits()
    throttle = throttle or Throttle(server, RateLimitConfig(), clock)
    drain = Drain(clock)
    handlers = make_handlers(
        objects,
        uploads,
        copies,
        buckets,
        bucket_tags,
        server.max_object_size,
        region,
    )
    app = App(
        authenticator,
        handlers,
        Gate(buckets),
        registry,
        drain,
        throttle,
        clock,
        limits,
        server.require_signed_payload,
    )
    routes = {b"/health": b"health"}
    if metrics_path is not None and registry is not None:
        routes[metrics_path.encode()] = b"metrics"
    return StreamingSite(
        app.klein.resource(),
        clock=clock,
        now=now,
        request_ids=request_ids,
        limits=limits,
        drain=drain,
        throttle=throttle,
        routes=routes,
    )


def make_handlers(
    objects: ObjectsPort,
    uploads: UploadsPort,
    copies: CopiesPort,
    buckets: BucketDirectory,
    bucket_tags: BucketTagsPort,
    max_object_size: int,
    region: str,
) -> Mapping[type[object], Handler]:
    """What answers each operation, once it has been let through."""
    on_objects = ObjectHandlers(objects, max_object_size)
    on_uploads = UploadHandlers(uploads, max_object_size)
    on_copies = CopyHandlers(copies)
    on_buckets = BucketHandlers(objects, buckets, region)
    on_deletion = DeletionHandlers(objects)
    on_tagging = TaggingHandlers(objects, bucket_tags)
    on_descriptions = DescriptionHandlers(objects)
    return {
        operation.PutObject: on_objects.put,
        operation.GetObject: on_objects.get,
        operation.HeadObject: on_objects.head,
        operation.DeleteObject: on_deletion.delete,
        operation.DeleteObjects: on_deletion.delete_many,
        operation.GetObjectTagging: on_tagging.get_object,
        operation.PutObjectTagging: on_tagging.put_object,
        operation.DeleteObjectTagging: on_tagging.delete_object,
        operation.GetBucketTagging: on_tagging.get_bucket,
        operation.PutBucketTagging: on_tagging.put_bucket,
        operation.DeleteBucketTagging: on_tagging.delete_bucket,
        operation.GetObjectAttributes: on_descriptions.attributes,
        operation.ListObjectVersions: on_descriptions.list_versions,
        operation.GetBucketAcl: on_descriptions.get_bucket_acl,
        operation.PutBucketAcl: on_descriptions.put_bucket_acl,
        operation.GetObjectAcl: on_descriptions.get_object_acl,
        operation.PutObjectAcl: on_descriptions.put_object_acl,
        operation.GetBucketSetting: on_descriptions.get_setting,
        operation.DeleteBucketSetting: on_descriptions.delete_setting,
        operation.ListBuckets: on_buckets.list_buckets,
        operation.HeadBucket: on_buckets.head_bucket,
        operation.CreateBucket: on_buckets.create_bucket,
        operation.DeleteBucket: on_buckets.delete_bucket,
        operation.GetBucketLocation: on_buckets.location,
        operation.ListObjectsV2: on_buckets.list_v2,
        operation.ListObjects: on_buckets.list_v1,
        operation.CreateMultipartUpload: on_uploads.create,
        operation.UploadPart: on_uploads.put_part,
        operation.CompleteMultipartUpload: on_uploads.complete,
        operation.AbortMultipartUpload: on_uploads.abort,
        operation.ListParts: on_uploads.list_parts,
        operation.ListMultipartUploads: on_uploads.list_uploads,
        operation.CopyObject: on_copies.copy,
        operation.UploadPartCopy: on_copies.copy_part,
    }
