"""A real OTLP/gRPC collector, in this process: what arrives, as it was on the wire."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent import futures
from types import TracebackType
from typing import Any, Self

import grpc
from attrs import frozen
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as rpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan


@frozen
class Received:
    """A span that arrived; ids are hex, a root has the parent ""."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    is_error: bool
    began_ns: int
    ended_ns: int


class Collector(rpc.TraceServiceServicer):
    """
    ``with Collector() as collector:`` listens on a port of loopback, ``endpoint``.

    :ivar spans: In the order of their arrival.
    :ivar resources: Of each batch.
    :ivar raw: The batches, as bytes.
    """

    def __init__(self, port: int = 0) -> None:
        self.spans: list[Received] = []
        self.resources: list[dict[str, Any]] = []
        self.raw: list[bytes] = []
        self._server = grpc.server(futures.ThreadPoolExecutor(2))
        rpc.add_TraceServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self.endpoint = f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.stop(None).wait()

    def Export(self, request: Any, context: Any) -> Any:
        self.raw.append(request.SerializeToString())
        for batch in request.resource_spans:
            self.resources.append(_plain(batch.resource.attributes))
            for scope in batch.scope_spans:
                self.spans += map(_received, scope.spans)
        return service.ExportTraceServiceResponse()

    def named(self, name: str) -> list[Received]:
        return [span for span in self.spans if span.name == name]

    def tree(self, trace_id: str) -> list[tuple[str, str]]:
        """Of a trace: each span's name and its parent's ("" = not of ours), sorted."""
        within = [span for span in self.spans if span.trace_id == trace_id]
        names = {span.span_id: span.name for span in within}
        return sorted((span.name, names.get(span.parent_id, "")) for span in within)

    def wait(self, condition: Callable[[], object], seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            names = [span.name for span in self.spans]
            assert time.monotonic() < deadline, f"only {names} came"
            time.sleep(0.02)


def _received(span: WireSpan) -> Received:
    return Received(
        span.name,
        WireSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        _plain(span.attributes),
        span.status.code == 2,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
    )


def _plain(attributes: Any) -> dict[str, Any]:
    return dict(_pairs(attributes))


def _pairs(attributes: Any) -> Iterator[tuple[str, Any]]:
    for each in attributes:
        kind = each.value.WhichOneof("value")
        value = getattr(each.value, kind)
        if kind == "array_value":
            value = [item.string_value for item in value.values]
        yield each.key, value
