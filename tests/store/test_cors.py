"""Buckets' cross-origin rules in PostgreSQL."""

from __future__ import annotations

import pytest
from pytest_twisted import ensureDeferred

from s3proxy.errors import NoSuchBucket
from s3proxy.s3.cors import CorsRule
from s3proxy.store.cors import PostgresCors
from s3proxy.store.pool import Pool
from s3proxy.store.registry import Registry

RULES = (
    CorsRule(("https://*.example.com", "*"), ("GET", "PUT"), ("x-*",), ("ETag",), 0),
    CorsRule(("é",), ("HEAD",), rule_id='"1\\'),
)


@ensureDeferred
async def test_rules_come_back_as_they_went_in(pool: Pool) -> None:
    registry = Registry(pool)
    await registry.register_buckets(["one", "two"], lambda name, owner: False)
    cors = PostgresCors(pool)
    assert await cors.get("one") is None
    await cors.put("one", RULES)
    assert await cors.get("one") == RULES
    assert await cors.get("two") is None
    await cors.put("one", RULES[:1])
    # A restart, which registers the bucket again, leaves them.
    await registry.register_buckets(["one", "two"], lambda name, owner: False)
    assert await cors.get("one") == RULES[:1]
    for _ in range(2):
        await cors.delete("one")
        assert await cors.get("one") is None


@ensureDeferred
async def test_a_bucket_that_is_none(pool: Pool) -> None:
    cors = PostgresCors(pool)
    assert await cors.get("none") is None
    with pytest.raises(NoSuchBucket):
        await cors.put("none", RULES)
    with pytest.raises(NoSuchBucket):
        await cors.delete("none")
