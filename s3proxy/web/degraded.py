"""
Reading on from a standby of the database while its primary is away (rule 50).

One request is answered from the primary or from one standby, never from both: what it
is granted and what it reads have to be of one time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

from attrs import frozen

from s3proxy.errors import StoreError, StoreUnavailable
from s3proxy.observe import View, current_view, reading
from s3proxy.s3 import operation as s3
from s3proxy.s3.attributes import GetObjectAttributes
from s3proxy.s3.versions import ListObjectVersions
from s3proxy.web.request import S3Request

T = TypeVar("T")

#: What goes on; all else needs the primary.
READS: Final[frozenset[type[object]]] = frozenset(
    {
        s3.GetObject,
        s3.HeadObject,
        GetObjectAttributes,
        s3.ListObjects,
        s3.ListObjectsV2,
        ListObjectVersions,
        s3.ListBuckets,
        s3.HeadBucket,
        s3.GetBucketLocation,
    }
)
# These change nothing and have no body, so that one can be answered a second time.
# Preflights are for the browsers among those who read.
_METHODS = (b"GET", b"HEAD", b"OPTIONS")


class Standbys(Protocol):
    """Where to read instead (``store.standbys.Standbys``)."""

    @property
    def suspects(self) -> bool:
        """Whether the primary has not answered anybody since it last failed to."""
        ...

    async def view(self) -> View | None:
        """A standby; None where the primary answers, when asked now, or none is fit."""
        ...


@frozen
class Degraded:
    """
    :ivar standbys: None: there is no such thing.
    :ivar count: Is told the operation of each answer from a standby.
    """

    _standbys: Standbys | None = None
    _count: Callable[[str], None] = lambda operation: None

    async def over(self, request: S3Request, work: Callable[[], Awaitable[T]]) -> T:
        """
        Do *work*, which answers *request*; where the primary is away, on a standby.

        :raises StoreError: The ledger cannot be read anywhere, or may not.
        """
        standbys = self._standbys
        if standbys is None or request.method not in _METHODS:
            return await work()
        if not standbys.suspects:
            try:
                return await work()
            except StoreError:
                view = await standbys.view()
                if view is None:
                    raise
        else:
            view = await standbys.view()
            if view is None:
                return await work()
        try:
            with reading(view):
                return await work()
        finally:
            if view.was_read:
                request.trail.stale = view.behind
                self._count(request.trail.operation or "other")


def check_readable(op: object) -> None:
    """
    Hold what is asked of a standby to what may be.

    :raises StoreUnavailable: It may not.
    """
    if current_view() is not None and type(op) not in READS:
        raise StoreUnavailable(
            f"the database's primary is away, and {type(op).__name__} needs it"
        )
