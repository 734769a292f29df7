"""Bars, as SVG in the page: no script, no picture to load."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.web.template import Tag

from s3proxy.plan.overview import BackendFill
from s3proxy.ui.ports import Minute

_WIDTH, _HEIGHT = 600, 80


def quota_bar(fill: BackendFill) -> Tag:
    """
    What of a backend's limit is live, claimed and to be deleted.

    One without a limit, or over it, is drawn against what it holds.
    """
    scale = max(fill.limit_bytes, fill.used_bytes, 1)
    live = fill.used_bytes - fill.claimed_bytes - fill.leaving_bytes
    bars, at = [], 0.0
    for kind, count in (
        ("live", live),
        ("claimed", fill.claimed_bytes),
        ("leaving", fill.leaving_bytes),
    ):
        width = 100 * count / scale
        if width > 0:
            bars.append(_rect(at, 0, width, 10, kind))
        at += width
    return _svg("0 0 100 10", "bar", bars, _share(fill))


def traffic_chart(minutes: Sequence[Minute]) -> Tag:
    """Requests a minute; those with errors are drawn in their colours."""
    most = max((minute.requests for minute in minutes), default=0) or 1
    each = _WIDTH / max(len(minutes), 1)
    bars = []
    for place, minute in enumerate(minutes):
        bottom = float(_HEIGHT)
        good = minute.requests - minute.client_errors - minute.server_errors
        for kind, count in (
            ("server", minute.server_errors),
            ("client", minute.client_errors),
            ("good", good),
        ):
            height = _HEIGHT * count / most
            if height > 0:
                bottom -= height
                bars.append(_rect(place * each, bottom, each - 1, height, kind))
    label = f"requests a minute in the last hour, {most} at the most"
    return _svg(f"0 0 {_WIDTH} {_HEIGHT}", "traffic", bars, label)


def _share(fill: BackendFill) -> str:
    if not fill.limit_bytes:
        return f"{fill.name}: no limit"
    return f"{fill.name}: {fill.used_bytes / fill.limit_bytes:.0%} used"


def _svg(box: str, kind: str, content: list[Tag], label: str) -> Tag:
    return Tag(
        "svg",
        attributes={
            "class": kind,
            "viewBox": box,
            "preserveAspectRatio": "none",
            "role": "img",
            "aria-label": label,
        },
        children=[Tag("title", children=[label]), *content],
    )


def _rect(x: float, y: float, width: float, height: float, kind: str) -> Tag:
    return Tag("rect")(
        x=f"{x:.2f}",
        y=f"{y:.2f}",
        width=f"{width:.2f}",
        height=f"{height:.2f}",
        class_=kind,
    )
