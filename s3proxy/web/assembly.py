"""The front door, put together: a handler for each operation, the site around them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from attrs import frozen
from prometheus_client import CollectorRegistry
from twisted.internet.interfaces import IReactorTime

from s3proxy.config_model import RateLimitConfig, ServerConfig
from s3proxy.s3 import operation
from s3proxy.telemetry.requests import Requests
from s3proxy.web.app import App, Handler, Pages
from s3proxy.web.auth import Authenticator
from s3proxy.web.buckets import BucketHandlers
from s3proxy.web.copies import CopyHandlers
from s3proxy.web.cors import Cors
from s3proxy.web.degraded import Degraded
from s3proxy.web.deletion import DeletionHandlers
from s3proxy.web.descriptions import DescriptionHandlers
from s3proxy.web.directory import BucketDirectory
from s3proxy.web.drain import Drain
from s3proxy.web.forms import Forms
from s3proxy.web.gate import Gate
from s3proxy.web.limits import Limits
from s3proxy.web.objects import ObjectHandlers
from s3proxy.web.ports import (
    BucketTagsPort,
    CopiesPort,
    CorsPort,
    ObjectsPort,
    UploadsPort,
)
from s3proxy.web.readiness import Readiness
from s3proxy.web.requestid import request_id
from s3proxy.web.site import StreamingSite
from s3proxy.web.tagging import TaggingHandlers
from s3proxy.web.throttle import Throttle
from s3proxy.web.uploads import UploadHandlers
from s3proxy.web.watch import Watch

#: What clients are told, and the first region that a signature may name.
REGION = "us-east-1"


@frozen
class Rooms:
    """What handlers call."""

    objects: ObjectsPort
    uploads: UploadsPort
    copies: CopiesPort
    bucket_tags: BucketTagsPort
    cors: CorsPort
    buckets: BucketDirectory


def make_site(
    rooms: Rooms,
    authenticator: Authenticator,
    *,
    server: ServerConfig,
    clock: IReactorTime,
    now: Callable[[], datetime],
    region: str = REGION,
    metrics_path: str | None = None,
    registry: CollectorRegistry | None = None,
    request_ids: Callable[[], str] = request_id,
    limits: Limits | None = None,
    throttle: Throttle | None = None,
    pages: Pages | None = None,
    tally: Callable[[int], None] | None = None,
    meter: Requests | None = None,
    access: Watch | None = None,
    readiness: Readiness | None = None,
    degraded: Degraded | None = None,
) -> StreamingSite:
    """
    Build the front door; listen with it, and stop it with ``site.drain.drain``.

    :param now: Wall clock, aware.
    :param region: What clients are told.
    :param metrics_path: Where *registry* is shown; None = nowhere.
    :param pages: What ``/ui`` and the paths below it show; None = they are S3's.
    :param tally: Is told the status of each answer that is S3's.
    :param meter: Counts what is done; None = nobody does.
    :param throttle: Who is let in; by default as *server* has it, without a rate limit.
    :param access: Tells of each request; by default it is logged, and not traced.
    :param readiness: What ``/health/ready`` says; None = there is no such thing.
    :param degraded: Where reads go while the database's primary is away; by default
        nowhere.
    """
    limits = limits or Limits()
    throttle = throttle or Throttle(server, RateLimitConfig(), clock)
    drain = Drain(clock)
    on_cors = Cors(rooms.cors, server.domain)
    app = App(
        authenticator,
        make_handlers(rooms, on_cors, server.max_object_size, region),
        Gate(rooms.buckets),
        registry,
        drain,
        throttle,
        clock,
        limits,
        server.domain,
        on_cors,
        Forms(authenticator, now, server.domain),
        pages,
        tally,
        meter,
        access or Watch(),
        readiness,
        degraded or Degraded(),
    )
    routes = {b"/health": b"health"}
    if readiness is not None:
        routes[b"/health/ready"] = b"ready"
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
        branches={b"/ui": b"ui"} if pages is not None else {},
        domains=server.domain,
        meter=meter,
    )


def make_handlers(
    rooms: Rooms, on_cors: Cors, max_object_size: int, region: str
) -> Mapping[type[object], Handler]:
    """What answers each operation, once it has been let through."""
    on_objects = ObjectHandlers(rooms.objects, max_object_size)
    on_uploads = UploadHandlers(rooms.uploads, max_object_size)
    on_copies = CopyHandlers(rooms.copies)
    on_buckets = BucketHandlers(rooms.objects, rooms.buckets, region)
    on_deletion = DeletionHandlers(rooms.objects)
    on_tagging = TaggingHandlers(rooms.objects, rooms.bucket_tags)
    on_descriptions = DescriptionHandlers(rooms.objects)
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
        operation.PutBucketCors: on_cors.put,
        operation.GetBucketCors: on_cors.get,
        operation.DeleteBucketCors: on_cors.delete,
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
