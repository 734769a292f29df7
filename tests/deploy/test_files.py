"""
What deploy/ has fits s3proxy, and itself: configurations by the daemon's own reader,
ports, paths, variables, users and times.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from s3proxy.service import DRAIN_SECONDS
from tests.daemon import ROOT
from tests.deploy import files
from tests.deploy.files import COMPOSE, DEPLOY, KUBERNETES, NOMAD, UNIT
from tools.image_root import instructions

DOCKERFILE = list(instructions((ROOT / "Dockerfile").read_text("utf-8")))
PATH = "/etc/s3proxy/config.yaml"


def of(name: str) -> str:
    """The last argument of an instruction of the Dockerfile."""
    return [argument for each, argument in DOCKERFILE if each == name][-1]


@pytest.mark.parametrize("name", sorted(files.configurations()))
class TestConfigurations:
    def test_is_read(self, name: str) -> None:
        """With authentication, metrics that clients cannot see, and a quota."""
        config = files.read(name)
        assert config.auth.access_key_id is not None
        assert config.database is not None
        assert all(each.quota_bytes for each in config.backends)
        assert config.telemetry.metrics.enabled
        assert files.ports(config) == {"s3": 9000, "metrics": 9100}

    def test_has_the_variables_that_it_is_given(self, name: str) -> None:
        text, given = files.configurations()[name]
        assert files.variables(text) == given


def test_vault_has_what_the_template_asks_for() -> None:
    asked = set(re.findall(r"\.Data\.data\.(\w+)", files.nomad_template()))
    assert asked == set(files.vault_keys())


def test_values_from_vault_arrive_as_they_are() -> None:
    """Quotes and braces too: what a template writes is YAML."""
    [backend] = files.read("nomad").backends
    assert backend.secret_access_key == files.vault_keys()["oci_secret_access_key"]
    assert '"' in backend.secret_access_key


class TestKubernetes:
    deployment: dict[str, Any] = KUBERNETES["Deployment"]["spec"]
    pod: dict[str, Any] = deployment["template"]["spec"]
    [container] = pod["containers"]

    def test_ports_are_those_of_the_configuration(self) -> None:
        named = {x["name"]: x["containerPort"] for x in self.container["ports"]}
        assert named == files.ports(files.read("kubernetes"))
        service = KUBERNETES["Service"]["spec"]
        assert {x["targetPort"] for x in service["ports"]} == set(named)

    def test_probes_ask_for_health(self) -> None:
        for name in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert self.container[name]["httpGet"] == {"path": "/health", "port": "s3"}

    def test_labels_select_the_pods(self) -> None:
        labels = self.deployment["template"]["metadata"]["labels"]
        assert self.deployment["selector"]["matchLabels"] == labels
        assert KUBERNETES["Service"]["spec"]["selector"] == labels
        disruption = KUBERNETES["PodDisruptionBudget"]["spec"]
        assert disruption["selector"]["matchLabels"] == labels

    def test_the_configuration_is_where_the_daemon_looks(self) -> None:
        mounts = {x["mountPath"]: x["name"] for x in self.container["volumeMounts"]}
        assert self.container["args"] == ["--config", PATH]
        [volume] = [
            x for x in self.pod["volumes"] if x["name"] == mounts["/etc/s3proxy"]
        ]
        assert (
            volume["configMap"]["name"] == KUBERNETES["ConfigMap"]["metadata"]["name"]
        )
        assert mounts.keys() >= {"/tmp", of("WORKDIR")}

    def test_the_user_is_the_image_s(self) -> None:
        who = self.pod["securityContext"]
        assert f"{who['runAsUser']}:{who['runAsGroup']}" == of("USER")

    def test_requests_have_time_to_end(self) -> None:
        command = self.container["lifecycle"]["preStop"]["exec"]["command"]
        grace = self.pod["terminationGracePeriodSeconds"]
        assert grace >= int(command[-1]) + DRAIN_SECONDS + 5

    @pytest.mark.system
    def test_schema(self) -> None:
        """Of Kubernetes, the newest that the validator has."""
        import kubernetes_validate

        for each in KUBERNETES.values():
            kubernetes_validate.validate(each, "1.34", strict=True)


class TestCompose:
    proxy: dict[str, Any] = COMPOSE["services"]["s3-proxy"]

    def test_ports_are_those_of_the_configuration(self) -> None:
        inside = {int(each.rpartition(":")[2]) for each in self.proxy["ports"]}
        assert inside == set(files.ports(files.read("compose")).values())

    def test_the_configuration_is_where_the_image_looks(self) -> None:
        assert PATH in of("CMD")
        [volume] = self.proxy["volumes"]
        source, target, mode = volume.split(":")
        assert (DEPLOY / "compose" / source).is_file()
        assert (target, mode) == (PATH, "ro")
        assert of("WORKDIR") in self.proxy["tmpfs"]
        context = DEPLOY / "compose" / self.proxy["build"]["context"]
        assert (context / "Dockerfile").resolve() == ROOT / "Dockerfile"

    def test_the_database_is_the_one_of_the_configuration(self) -> None:
        database = files.read("compose").database
        assert database is not None
        given = COMPOSE["services"][database.host]["environment"]
        assert given["POSTGRES_DB"] == database.database
        assert given["POSTGRES_USER"] == database.user
        [variable] = re.findall(r"\$\{(\w+):\?", given["POSTGRES_PASSWORD"])
        assert database.password == f"value-of-{variable}"

    def test_requests_have_time_to_end(self) -> None:
        assert int(self.proxy["stop_grace_period"].rstrip("s")) >= DRAIN_SECONDS + 5


class TestNomad:
    def test_ports_and_checks(self) -> None:
        """Of the network, of the services, and of the configuration."""
        network = dict(re.findall(r'port "(\w+)" {[^}]*?to += (\d+)', NOMAD))
        wanted = files.ports(files.read("nomad"))
        assert {name: int(port) for name, port in network.items()} == wanted
        assert set(re.findall(r'^ +port += "(\w+)"', NOMAD, re.M)) == set(wanted)
        assert re.findall(r'path += "(.*)"', NOMAD) == ["/health", "/health"]

    def test_the_configuration_is_where_the_daemon_looks(self) -> None:
        [target] = re.findall(r'destination += "(.*)"', NOMAD)
        assert f'args         = ["--config", "/{target}"]' in NOMAD

    def test_requests_have_time_to_end(self) -> None:
        [limit] = re.findall(r'kill_timeout += "(\d+)s"', NOMAD)
        assert int(limit) >= DRAIN_SECONDS + 5

    @pytest.mark.system
    def test_it_is_hcl(self) -> None:
        import hcl2

        job = hcl2.loads(NOMAD)["job"][0]['"s3-proxy"']
        [group] = job["group"]
        [task] = group['"s3-proxy"']["task"]
        [template] = task['"s3-proxy"']["template"]
        assert files.nomad_template().strip() in template["data"]


class TestUnit:
    def test_requests_have_time_to_end(self) -> None:
        [limit] = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.M)
        assert int(limit) >= DRAIN_SECONDS + 5

    def test_connections_have_files(self) -> None:
        [limit] = re.findall(r"^LimitNOFILE=(\d+)$", UNIT, re.M)
        assert int(limit) >= 2 * files.read("systemd").server.max_connections + 500

    def test_paths_are_those_of_its_head(self) -> None:
        head, _, rest = UNIT.partition("[Unit]")
        for path in (PATH, "/etc/s3proxy/secrets.env", "/opt/s3proxy"):
            assert path in head
            assert path in rest
        for source in re.findall(r"deploy/systemd/\S+", head):
            assert (ROOT / source).is_file()

    @pytest.mark.system
    def test_systemd_reads_it(self, tmp_path: Path) -> None:
        """Nothing that it does not know, and little that an intruder could do."""
        unit = tmp_path / "s3proxy.service"
        unit.write_text(UNIT.replace("/opt/s3proxy/bin/s3proxy", sys.executable))
        verified = subprocess.run(
            ["systemd-analyze", "verify", unit], capture_output=True, text=True
        )
        about_it = [x for x in verified.stderr.splitlines() if "s3proxy" in x]
        assert (verified.returncode, about_it) == (0, [])
        judged = subprocess.run(
            [
                *("systemd-analyze", "security", "--offline=yes"),
                *("--threshold=20", str(unit)),
            ],
            capture_output=True,
            text=True,
        )
        assert judged.returncode == 0, judged.stdout


def test_nobody_s_secrets_are_in_it() -> None:
    """What is to be filled in is empty."""
    for path in (DEPLOY / "systemd/secrets.env", DEPLOY / "compose/env.example"):
        lines = path.read_text("utf-8").splitlines()
        assert all(x.endswith("=") for x in lines if not x.startswith("#"))


def test_every_file_says_how_it_is_used() -> None:
    for path in DEPLOY.rglob("*"):
        if path.suffix in (".yaml", ".yml", ".hcl", ".service", ".env", ".example"):
            assert path.read_text("utf-8").startswith("# "), path


def test_yaml_is_yaml() -> None:
    for path in [*DEPLOY.rglob("*.yaml"), *DEPLOY.rglob("*.yml")]:
        assert list(yaml.safe_load_all(path.read_text("utf-8"))), path
