"""
``make generate``: write the Grafana dashboard, ``deploy/grafana/s3-proxy.json``.

What is shown is in ``dashboard.yml`` beside this file; here is how Grafana wants it
written down.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from attrs import field, frozen

PANELS: Final = Path(__file__).with_suffix(".yml")
DASHBOARD: Final = Path(__file__).parents[1] / "deploy/grafana/s3-proxy.json"

#: Of Grafana's format; newer ones migrate what they read.
SCHEMA_VERSION: Final = 39

_DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_SELECT: Final = 'job="$job",instance=~"$instance"'
_WIDTH: Final = 24


@frozen
class Panel:
    """
    One panel.

    :ivar unit: Grafana's name of it: ``s``, ``bytes``, ``reqps``.
    :ivar queries: By how their lines are called, ``""`` for Grafana's own choice.
    :ivar kind: Grafana's type of panel.
    :ivar width: In 24ths of the page.
    :ivar levels: From where on it is orange, and red.
    :ivar stacked: Whether the lines add up.
    """

    title: str
    unit: str
    queries: Mapping[str, str]
    text: str = ""
    kind: str = "timeseries"
    width: int = 8
    levels: tuple[float, float] | None = field(
        default=None, converter=lambda given: given and tuple(given)
    )
    stacked: bool = False


def rows() -> list[tuple[str, list[Panel]]]:
    """The page: titles of its rows, and the panels below each."""
    document = yaml.safe_load(PANELS.read_text("utf-8"))
    return [(x["row"], [Panel(**panel) for panel in x["panels"]]) for x in document]


def expression(query: str) -> str:
    """A query with the selector of job and instance in each of its own."""
    return query.replace("{", f"{{{_SELECT},").replace(",}", "}")


def _layout() -> Iterator[dict[str, Any]]:
    """Every row, and the panels of each below it, from left to right."""
    at = number = 0
    for title, panels in rows():
        number += 1
        grid = {"h": 1, "w": _WIDTH, "x": 0, "y": at}
        yield {
            "collapsed": False,
            "gridPos": grid,
            "id": number,
            "panels": [],
            "title": title,
            "type": "row",
        }
        at, left, height = at + 1, 0, 4 if panels[0].kind == "stat" else 8
        for panel in panels:
            number += 1
            if left + panel.width > _WIDTH:
                at, left = at + height, 0
            grid = {"h": height, "w": panel.width, "x": left, "y": at}
            yield _panel(panel, number, grid)
            left += panel.width
        at += height


def _panel(panel: Panel, number: int, grid: dict[str, int]) -> dict[str, Any]:
    thresholds: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.levels is not None:
        thresholds += [
            {"color": color, "value": level}
            for color, level in zip(("orange", "red"), panel.levels, strict=True)
        ]
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "min": 0,
        "thresholds": {"mode": "absolute", "steps": thresholds},
        "color": {
            "mode": "thresholds" if panel.kind != "timeseries" else "palette-classic"
        },
    }
    if panel.unit == "percentunit":
        defaults["max"] = 1
    if panel.kind == "timeseries":
        defaults["custom"] = {
            "fillOpacity": 20 if panel.stacked else 0,
            "showPoints": "never",
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        }
    return {
        "datasource": _DATASOURCE,
        "description": panel.text,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "gridPos": grid,
        "id": number,
        "options": _options(panel),
        "targets": [
            {
                "datasource": _DATASOURCE,
                "exemplar": "duration_seconds" in query and panel.kind == "timeseries",
                "expr": expression(query),
                "instant": panel.kind != "timeseries",
                "legendFormat": legend or "__auto",
                "range": panel.kind == "timeseries",
                "refId": chr(ord("A") + at),
            }
            for at, (legend, query) in enumerate(panel.queries.items())
        ],
        "title": panel.title,
        "type": panel.kind,
    }


def _options(panel: Panel) -> dict[str, Any]:
    reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    match panel.kind:
        case "stat":
            named = list(panel.queries) != [""]
            return {
                "colorMode": "value",
                "graphMode": "none",
                "reduceOptions": reduce,
                "textMode": "name" if panel.title == "Version" else "auto",
                "orientation": "horizontal" if named else "auto",
            }
        case "bargauge":
            return {
                "displayMode": "basic",
                "orientation": "horizontal",
                "reduceOptions": reduce,
                "showUnfilled": True,
            }
    return {
        "legend": {"calcs": [], "displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def _variable(name: str, label: str, query: str, *, several: bool) -> dict[str, Any]:
    return {
        "allValue": ".*" if several else None,
        "current": {"text": ["All"], "value": ["$__all"]} if several else {},
        "datasource": _DATASOURCE,
        "hide": 0,
        "includeAll": several,
        "label": label,
        "multi": several,
        "name": name,
        "options": [],
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "regex": "",
        "sort": 1,
        "type": "query",
    }


def dashboard() -> dict[str, Any]:
    """The whole, as Grafana imports and provisions it."""
    source = {
        "current": {},
        "hide": 0,
        "includeAll": False,
        "label": "Prometheus",
        "multi": False,
        "name": "datasource",
        "options": [],
        "query": "prometheus",
        "refresh": 1,
        "regex": "",
        "type": "datasource",
    }
    jobs = "label_values(s3proxy_build_info, job)"
    instances = 'label_values(s3proxy_build_info{job="$job"}, instance)'
    return {
        "annotations": {"list": []},
        "description": "s3proxy: requests, room, and the backends. To use it: "
        "deploy/README.md. Written by tools/dashboard.py.",
        "editable": True,
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,
        "links": [],
        "panels": list(_layout()),
        "refresh": "30s",
        "schemaVersion": SCHEMA_VERSION,
        "tags": ["s3-proxy"],
        "templating": {
            "list": [
                source,
                _variable("job", "Job", jobs, several=False),
                _variable("instance", "Instance", instances, several=True),
            ]
        },
        "time": {"from": "now-6h", "to": "now"},
        "timepicker": {},
        "timezone": "browser",
        "title": "S3 Proxy",
        "uid": "munchbox-s3-proxy",
        "version": 1,
        "weekStart": "",
    }


def text() -> str:
    """The file."""
    return json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    DASHBOARD.write_text(text(), "utf-8")
