"""The real backend and the fake one keep the same promises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pytest_twisted import async_yield_fixture
from twisted.internet.task import Clock

from s3proxy.backend.client import S3Backend
from s3proxy.backend.guarded import GuardedBackend
from s3proxy.config import BackendConfig
from tests.backend.conftest import now
from tests.contracts.backend import BackendContract
from tests.fakes.backend import MemoryBackend


class TestMemoryBackend(BackendContract):
    """The fake."""

    @pytest.fixture
    def backend(self) -> MemoryBackend:
        """An empty one."""
        return MemoryBackend("b")


class TestGuardedBackend(BackendContract):
    """One with breakers."""

    #: Asked of the backend itself.
    test_not_versioned = None  # type: ignore[assignment]

    @pytest.fixture
    def backend(self) -> GuardedBackend:
        """Over an empty fake."""
        clock = Clock()
        return GuardedBackend(MemoryBackend("b"), clock, clock.seconds)


class TestS3Backend(BackendContract):
    """The real client of a real server."""

    @async_yield_fixture
    async def backend(
        self, reactor: Any, bucket: BackendConfig
    ) -> AsyncIterator[S3Backend]:
        """Over a fresh bucket."""
        backend = S3Backend(bucket, reactor=reactor, now=now)
        yield backend
        await backend.close()
