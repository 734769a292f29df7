"""
What a bucket's rules tell browsers: answers to preflights, and headers on others.

Nothing is kept in memory: the ledger is asked for each request with an Origin header,
so that every proxy of one database answers by the same rules at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import field, frozen
from twisted.logger import Logger

from s3proxy.errors import NoSuchCORSConfiguration, S3Error, StoreError
from s3proxy.manager.ports import Body
from s3proxy.s3 import cors, cors_documents, parameters
from s3proxy.s3.operation import (
    DeleteBucketCors,
    GetBucketCors,
    PutBucketCors,
    locate,
)
from s3proxy.web.answer import Answer, Headers
from s3proxy.web.auth import Identity
from s3proxy.web.documents import receive
from s3proxy.web.ports import CorsPort

SentHeaders = Sequence[tuple[str, str]]


@frozen
class Cors:
    """
    :ivar domains: Below which a Host header names a bucket.
    """

    _cors: CorsPort
    _domains: Sequence[str]
    _log: Logger = field(factory=Logger, init=False)

    async def preflight(self, raw_target: bytes, headers: SentHeaders) -> Answer:
        """
        ``OPTIONS``: nobody is authenticated, since browsers cannot sign it.

        A bucket that does not exist is one without rules, so that a stranger learns
        nothing of buckets.

        :raises AccessForbidden: No rule allows what is asked for; or BadRequest.
        """
        where = locate(raw_target, headers, self._domains)
        asked = cors.parse_preflight(parameters.fold(headers))
        rules = await self._cors.get(where.bucket) if where.bucket else None
        level = "OBJECT" if where.key else "BUCKET"
        return Answer(200, cors.answer_preflight(rules, asked, level), length=0)

    async def headers(
        self, method: bytes, raw_target: bytes, headers: SentHeaders
    ) -> Headers:
        """
        What the answer to any other request has beside its own headers.

        A request that cannot be read, or a ledger that is away, is for others to tell.
        """
        if not any(name == "origin" for name, _ in headers):
            return ()
        try:
            where = locate(raw_target, headers, self._domains)
            rules = await self._cors.get(where.bucket) if where.bucket else None
            sent = parameters.fold(headers)
        except S3Error:
            return ()
        except StoreError as why:
            self._log.warn("no CORS headers: {why}", why=why)
            return ()
        return cors.answer_actual(rules, method.decode("latin-1"), sent)

    async def put(self, op: PutBucketCors, body: Body, identity: Identity) -> Answer:
        """
        ``PUT ?cors``

        :raises MalformedXML: The body is no configuration; or InvalidRequest.
        """
        document = await receive(op.document, body, identity, cors_documents.MAX_BYTES)
        await self._cors.put(op.bucket, cors_documents.parse(document))
        return Answer(200, length=0)

    async def get(self, op: GetBucketCors, body: Body, identity: Identity) -> Answer:
        """
        ``GET ?cors``

        :raises NoSuchCORSConfiguration: The bucket has none (404).
        """
        rules = await self._cors.get(op.bucket)
        if rules is None:
            raise NoSuchCORSConfiguration(fields={"BucketName": op.bucket})
        return Answer.document(cors_documents.write(rules))

    async def delete(
        self, op: DeleteBucketCors, body: Body, identity: Identity
    ) -> Answer:
        """``DELETE ?cors``: 204, whether there were rules or not."""
        await self._cors.delete(op.bucket)
        return Answer(204)
