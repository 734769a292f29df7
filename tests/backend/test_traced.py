"""What a traced backend is sent beside the request, and what its span tells."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from attrs import evolve
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from pytest_twisted import ensureDeferred
from twisted.internet.task import Clock

from s3proxy.backend.client import S3Backend
from s3proxy.config import BackendConfig
from s3proxy.config_model import TracingConfig
from s3proxy.errors import BackendUnavailable
from s3proxy.telemetry.tracing import Tracing
from s3proxy.telemetry.w3c import parse
from s3proxy.traced import TracedAgent
from tests.backend.conftest import now
from tests.backend.test_signing import check
from tests.contracts.backend import get, make_copy
from tests.faults import Reply, Stub, http


@ensureDeferred
async def test_calls(
    reactor: Any, stub: Stub, stub_config: BackendConfig, clock: Clock
) -> None:
    """``traceparent`` names the call's own span, and is outside of the signature."""
    kept = InMemorySpanExporter()
    tracing = Tracing(TracingConfig(True, "a:1"), reactor, kept)
    make = partial(
        S3Backend,
        reactor=reactor,
        now=now,
        clock=clock,
        agent=partial(TracedAgent, tracing=tracing),
    )
    backend = make(stub_config)
    nobody = make(evolve(stub_config, endpoint="http://127.0.0.1:1"))
    assert backend.is_failing is None
    stub.replies = [Reply(http(200)), Reply(http(200, b"hello")), Reply(http(503))]
    copy = make_copy("a b", 5)

    async def calls() -> None:
        upload = await backend.open_put(copy, {}, sha256=None, md5=None)
        await upload.finish(b"hello", md5="")
        assert await get(backend, evolve(copy, version_id="v&1")) == b"hello"
        assert backend.is_failing is False
        with pytest.raises(BackendUnavailable):
            await backend.delete("a b", None)

    await tracing.within("Objects.put", SpanKind.INTERNAL, {}, calls)
    assert backend.is_failing is True
    with pytest.raises(BackendUnavailable):
        await nobody.delete("a b", None)
    assert nobody.is_failing is True
    await backend.close()
    await nobody.close()
    await tracing.close()
    put, got, deleted, parent, refused = kept.get_finished_spans()
    for span, request in zip((put, got, deleted), stub.received, strict=True):
        check(request)
        assert "traceparent" not in request.headers["authorization"]
        sent = parse([request.headers["traceparent"].encode()])
        assert sent is not None and span.context is not None
        assert (sent.trace_id, sent.span_id) == (
            span.context.trace_id,
            span.context.span_id,
        )
        assert span.parent == parent.context
        told = dict(span.attributes or {})
        url = f"http://127.0.0.1:{stub.port}/bucket/a%20b"
        assert told["url.full"] in (url, f"{url}?versionId=v%261")
        assert told["http.request.method"] == span.name == request.method
        assert told["s3proxy.backend"] == "b"
    assert (put.attributes or {})["http.response.status_code"] == 200
    assert put.status.is_unset and got.status.is_unset
    assert not deleted.status.is_unset
    assert (deleted.attributes or {})["error.type"] == "503"
    assert refused.parent is None
    assert (refused.attributes or {})["error.type"] == "ConnectionRefusedError"
