"""The status page, put together: a part of the composition root."""

from __future__ import annotations

from s3proxy.config import Config
from s3proxy.foundation import Foundation, usage_limits
from s3proxy.manager.objects import Objects
from s3proxy.store.overview import Overview
from s3proxy.store.status import Status
from s3proxy.store.traffic import Traffic
from s3proxy.ui.browse import BrowsePage
from s3proxy.ui.door import Door
from s3proxy.ui.overview import OverviewPage

#: Between two times that a process writes down how many requests it had.
TALLY_SECONDS = 10.0


def make_pages(config: Config, foundation: Foundation, objects: Objects) -> Door:
    """What ``/ui`` shows."""
    pool = foundation.pool
    factor = 1 if config.replication is None else config.replication.factor
    overview = OverviewPage(
        Status(pool),
        Overview(pool),
        Traffic(pool),
        list(foundation.backends),
        factor,
        usage_limits(foundation.configs),
    )
    return Door(config.ui, overview, BrowsePage(objects))
