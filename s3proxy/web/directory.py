"""Which buckets there are."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import define

from s3proxy.plan.access import Rights


@define(eq=False)
class BucketDirectory:
    """
    The buckets of the configuration.

    :ivar configured: Names, and when they were made; a reload replaces it.
    """

    configured: Mapping[str, datetime]

    def granted(self, rights: Rights) -> dict[str, datetime]:
        """Those of the configuration that somebody has a grant of."""
        return {
            name: made
            for name, made in self.configured.items()
            if name in rights.grants
        }
