"""The alerts: Prometheus' own tool reads them, and they fire when they should."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.daemon import ROOT
from tests.deploy.exposition import samples

HERE = ROOT / "deploy/prometheus"
RULES = HERE / "s3-proxy-health.rules.yml"
TESTS = HERE / "s3-proxy-health.test.yml"

[GROUP] = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
NAMES = [rule["alert"] for rule in GROUP["rules"]]


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it where the files are; tools/system-packages.sh has unpacked it."""
    tool = ROOT / ".prometheus/usr/bin/promtool"
    command = [str(tool), *map(str, arguments)]
    return subprocess.run(command, cwd=HERE, capture_output=True, text=True)


def test_every_alert_tells_what_to_do() -> None:
    assert GROUP["name"] == "s3-proxy-health"
    assert len(set(NAMES)) == len(NAMES)
    for rule in GROUP["rules"]:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "description"}


def test_every_alert_has_a_case_for_and_one_against_it() -> None:
    """In the tests that promtool runs."""
    cases: dict[str, set[bool]] = {}
    for each in yaml.safe_load(TESTS.read_text("utf-8"))["tests"]:
        for case in each["alert_rule_test"]:
            cases.setdefault(case["alertname"], set()).add(bool(case["exp_alerts"]))
    assert {name for name, kinds in cases.items() if True in kinds} == set(NAMES)
    silent = {name for name, kinds in cases.items() if False in kinds}
    assert silent == set(NAMES)


@pytest.mark.system
class TestPromtool:
    def test_rules_and_configuration(self) -> None:
        checked = promtool("check", "rules", RULES)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        # Debian's Prometheus is built without Consul and Kubernetes.
        checked = promtool("check", "config", HERE / "prometheus.yml")
        assert checked.returncode == 0, checked.stdout + checked.stderr

    def test_they_fire_when_they_should(self) -> None:
        run = promtool("test", "rules", TESTS)
        assert run.returncode == 0, run.stdout + run.stderr

    def test_a_wrong_expectation_is_found(self, tmp_path: Path) -> None:
        """The test above would fail: one that fires is expected to be silent."""
        document: dict[str, Any] = yaml.safe_load(TESTS.read_text("utf-8"))
        document["rule_files"] = [str(RULES)]
        for case in document["tests"][0]["alert_rule_test"]:
            case["exp_alerts"] = []
        wrong = tmp_path / "wrong.yml"
        wrong.write_text(yaml.safe_dump(document), "utf-8")
        run = promtool("test", "rules", wrong)
        assert run.returncode != 0
        assert "S3ProxyDown" in run.stdout + run.stderr


@pytest.mark.system
@pytest.mark.parametrize("rule", GROUP["rules"], ids=NAMES)
def test_series_and_labels_are_there(rule: dict[str, Any]) -> None:
    from tests.deploy.queries import parse, problems

    assert list(problems(parse(rule["expr"]), samples())) == []
