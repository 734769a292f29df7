"""The Grafana dashboard: Grafana's format, and series that there are."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.deploy.exposition import facts, samples
from tools.dashboard import DASHBOARD, dashboard, text

PANELS = [panel for panel in dashboard()["panels"] if panel["type"] != "row"]
TARGETS = [
    pytest.param(panel, target, id=f"{panel['title']}-{target['refId']}")
    for panel in PANELS
    for target in panel["targets"]
]


def test_the_file_is_up_to_date() -> None:
    assert DASHBOARD.read_text("utf-8") == text(), (
        "deploy/grafana/s3-proxy.json is not what tools/dashboard.yml says: run "
        "`make generate` (or python -m tools.dashboard)"
    )


def test_what_the_specification_says_of_it() -> None:
    loaded = json.loads(DASHBOARD.read_text("utf-8"))
    assert loaded["title"] == "S3 Proxy"
    assert loaded["uid"] == "munchbox-s3-proxy"


def test_no_two_panels_are_one() -> None:
    """Ids and places are each panel's own, and all are on the page."""
    everything = dashboard()["panels"]
    ids = [panel["id"] for panel in everything]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in everything:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


@pytest.mark.system
class TestQueries:
    """With a parser of PromQL, from the extra ``deploy``."""

    @pytest.mark.parametrize(("panel", "target"), TARGETS)
    def test_ask_for_what_there_is(
        self, panel: dict[str, Any], target: dict[str, Any]
    ) -> None:
        """Series and labels are those of the exposition; so are a legend's."""
        from tests.deploy.queries import parse, problems, result_labels

        known = samples()
        assert list(problems(parse(target["expr"]), known)) == []
        named = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        labels = result_labels(target["expr"], known)
        assert named <= labels
        # Lines that a legend would give the same name could not be told apart.
        assert target["legendFormat"] == "__auto" or labels <= named

    def test_show_every_series(self) -> None:
        from tests.deploy.queries import parse, series_of

        shown = {
            re.sub(r"_(bucket|sum|count)$", "", name)
            for panel in PANELS
            for target in panel["targets"]
            for name in series_of(parse(target["expr"]))
        }
        wanted = {name.removesuffix("_count") for name, _, _ in facts()}
        assert wanted <= shown

    def test_a_wrong_query_is_found(self) -> None:
        """The tests above would fail."""
        from tests.deploy.queries import parse, problems

        known = samples()
        for query, said in (
            ("s3proxy_nothing", "there is no series s3proxy_nothing"),
            ('up{backend="a"}', "up has no label backend"),
            ("sum by (method) (rate(up[5m]))", "has no label method"),
            (
                "histogram_quantile(0.5, sum(rate("
                "s3proxy_request_duration_seconds_bucket[5m])))",
                "has no label le",
            ),
        ):
            [found] = problems(parse(query), known)
            assert said in found
        with pytest.raises(ValueError, match="unclosed left parenthesis"):
            parse("sum by (")


@pytest.mark.system
def test_grafana_has_every_field() -> None:
    """Its own SDK reads the file into its types, and writes back all that is there."""
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models import bargauge, stat, timeseries
    from grafana_foundation_sdk.models.dashboard import Dashboard

    given = json.loads(DASHBOARD.read_text("utf-8"))
    read = Dashboard.from_json(given)
    written = json.loads(JSONEncoder().encode(read))
    assert lost(given, written) == []
    options = {
        "timeseries": timeseries.Options,
        "stat": stat.Options,
        "bargauge": bargauge.Options,
    }
    for panel in PANELS:
        made = options[panel["type"]].from_json(panel["options"])
        back = json.loads(JSONEncoder().encode(made))
        assert lost(panel["options"], back, panel["title"]) == []


def lost(given: Any, written: Any, path: str = "") -> list[str]:
    """Paths of what is in *given* and not, or other, in *written*."""
    if isinstance(given, dict) and isinstance(written, dict):
        return [
            each
            for key, value in given.items()
            if value is not None
            for each in lost(value, written.get(key), f"{path}.{key}")
        ]
    if isinstance(given, list) and isinstance(written, list):
        if len(given) != len(written):
            return [path]
        pairs = enumerate(zip(given, written, strict=True))
        return [x for n, (a, b) in pairs for x in lost(a, b, f"{path}[{n}]")]
    return [] if given == written else [path]
