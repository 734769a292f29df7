"""What a write is told whose conditions the ledger's functions found not to hold."""

from __future__ import annotations

from s3proxy.errors import S3Error
from s3proxy.model import WriteConditions
from s3proxy.s3.conditions import write_refusal
from s3proxy.store.pool import Pool
from s3proxy.store.running import run_decided


async def refusal(
    pool: Pool, bucket: str, key: str, conditions: WriteConditions
) -> S3Error:
    """
    NoSuchKey or PreconditionFailed.

    The functions say only that they refused, which older daemons understand, too; so
    the key is looked at once more. Whatever became of it meanwhile, the answer is one
    that was right at some moment of the request.

    :raises StoreUnavailable: The database is away.
    """
    exists = True
    if conditions.if_match:
        exists = bool(await run_decided(pool, "head", bucket=bucket, key=key))
    return write_refusal(conditions, key, exists=exists)
