"""An OTLP receiver: takes spans over HTTP in protobuf, and shows them as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Wire

from .certs import Certs
from .process import eventually
from .service import Asked, Service

PATH = "/v1/traces"


@dataclass
class Span:
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    state: str
    attributes: dict
    links: list[tuple[str, str]]
    is_error: bool
    told: str
    began: int
    ended: int
    resource: dict

    @property
    def place(self) -> tuple[str, str]:
        return self.trace, self.id

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace}-{self.id}-01"


class Collector:
    """On port 0. It can be stopped, and started again on the same port."""

    def __init__(self, tls: Certs | None = None) -> None:
        self.service = Service(tls)
        self.url = self.service.url
        self.takes()

    def __enter__(self) -> "Collector":
        return self

    def __exit__(self, *_exc) -> None:
        self.service.stop()

    def takes(self, rejected: int = 0) -> None:
        """Takes spans from now on, but says that it rejected so many of each export."""
        answer = ExportTraceServiceResponse()
        if rejected:
            answer.partial_success.rejected_spans = rejected
        self.service.reply(PATH, answer.SerializeToString(), headers={"content-type": "application/x-protobuf"})

    def answers(self, status: int) -> None:
        self.service.reply(PATH, "", status)

    def exports(self) -> list[Asked]:
        return [asked for asked in list(self.service.asked) if asked.path == PATH]

    def bytes(self) -> bytes:
        return b"".join(asked.body for asked in self.exports())

    def spans(self) -> list[Span]:
        return [span for asked in self.exports() for span in read(asked.body)]

    def wait(self, count: int, found: Callable[[Span], bool] = lambda _span: True, timeout: float = 10) -> list[Span]:
        """Waits for so many spans of a kind, and insists that there are no more."""

        def enough() -> list[Span] | None:
            spans = [span for span in self.spans() if found(span)]
            return spans if len(spans) >= count else None

        spans = eventually(enough, timeout, what=f"{count} spans")
        assert len(spans) == count, spans
        return spans


def read(body: bytes) -> list[Span]:
    spans = []
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        about = attributes(resource.resource.attributes)
        for scope in resource.scope_spans:
            assert scope.scope.name == "portcullis"
            spans += [span(wire, about) for wire in scope.spans]
    return spans


def span(wire: Wire, resource: dict) -> Span:
    return Span(
        name=wire.name,
        kind=Wire.SpanKind.Name(wire.kind).removeprefix("SPAN_KIND_").lower(),
        trace=wire.trace_id.hex(),
        id=wire.span_id.hex(),
        parent=wire.parent_span_id.hex(),
        state=wire.trace_state,
        attributes=attributes(wire.attributes),
        links=[(link.trace_id.hex(), link.span_id.hex()) for link in wire.links],
        is_error=wire.status.code == 2,
        told=wire.status.message,
        began=wire.start_time_unix_nano,
        ended=wire.end_time_unix_nano,
        resource=resource,
    )


def attributes(pairs) -> dict:
    read = {}
    for pair in pairs:
        assert pair.key not in read, f"{pair.key} stands twice"
        read[pair.key] = getattr(pair.value, pair.value.WhichOneof("value"))
    return read
