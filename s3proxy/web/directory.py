"""Which buckets there are: those of the configuration, and those made at run time."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from attrs import define

from s3proxy.config_values import is_dns_bucket
from s3proxy.errors import InvalidBucketName
from s3proxy.model import MadeBucket
from s3proxy.plan.access import Rights
from s3proxy.web.ports import BucketsPort

# What S3 keeps for itself.
_NOT_MADE_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
_NOT_MADE_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


@define(eq=False)
class BucketDirectory:
    """
    The configuration's are known here, the others to the ledger alone: several
    processes share them, so nothing is kept.

    :ivar configured: Names, and when they were made; a reload replaces it.
    :ivar made: Those made at run time.
    :ivar reserved: Names that no bucket may have.
    """

    configured: Mapping[str, datetime]
    made: BucketsPort
    reserved: Collection[str]

    async def find_made(self, name: str) -> MadeBucket | None:
        """Whose bucket it is, where it was made at run time."""
        return await self.made.find(name) if is_dns_bucket(name) else None

    def check_new(self, name: str) -> None:
        """
        Hold a new bucket's name to the rules.

        :raises InvalidBucketName: 400.
        """
        if (
            not is_dns_bucket(name)
            or "-." in name
            or ".-" in name
            or name.startswith(_NOT_MADE_PREFIXES)
            or name.endswith(_NOT_MADE_SUFFIXES)
            or name in self.reserved
        ):
            raise InvalidBucketName(
                "The specified bucket is not valid: want 3 to 63 of a-z, 0-9, '-' and "
                "'.', no address, and no name that is reserved.",
                fields={"BucketName": name},
            )

    async def page(
        self, rights: Rights, prefix: str, after: str, limit: int
    ) -> tuple[list[tuple[str, datetime]], bool]:
        """
        Buckets that somebody has a right to, by name.

        :returns: At most *limit* with *prefix* and after *after*, and whether there
            are more.
        """
        found = [
            (name, made)
            for name, made in self.configured.items()
            if name in rights.grants and name.startswith(prefix) and name > after
        ]
        if rights.owner is not None:
            found += await self.made.owned(rights.owner, prefix, after, limit + 1)
        found.sort()
        return found[:limit], len(found) > limit
