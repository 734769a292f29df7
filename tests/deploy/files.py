"""What deploy/ has, read: its configurations as s3proxy would get them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from s3proxy.config import Config, load
from tests.daemon import ROOT

DEPLOY = ROOT / "deploy"
NOMAD = (DEPLOY / "nomad/s3-proxy.nomad.hcl").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose/compose.yaml").read_text())
UNIT = (DEPLOY / "systemd/s3proxy.service").read_text("utf-8")

_MANIFESTS = (DEPLOY / "kubernetes/s3-proxy.yaml").read_text("utf-8")
KUBERNETES: dict[str, Any] = {
    each["kind"]: each for each in yaml.safe_load_all(_MANIFESTS)
}


def nomad_template() -> str:
    """The configuration's template, as Nomad gets it."""
    [text] = re.findall(r"<<EOF\n(.*?)^EOF$", NOMAD, re.MULTILINE | re.DOTALL)
    return str(text)


def vault_keys() -> dict[str, str]:
    """What the job's head has people put into Vault, each with some value."""
    [head] = re.findall(r"vault kv put secret/s3-proxy \\\n((?:#     .*\n)+)", NOMAD)
    given = dict(re.findall(r"(\w+)=(\S+)", head))
    return {
        key: "https://x"
        if "endpoint" in key
        else f"{key}-\"{{'".replace("_", "-")
        if "secret" in key or "password" in key
        else key.replace("_", "-")
        for key in given
    }


def render(template: str, secrets: Mapping[str, str]) -> str:
    """As Consul's templates are: of what the job's uses, and nothing else."""
    text = re.sub(r"{{ (?:with secret \"secret/data/s3-proxy\"|end) }}\n", "", template)
    return re.sub(
        r"{{ \.Data\.data\.(\w+) \| toJSON }}",
        lambda match: json.dumps(secrets[match[1]]),
        text,
    )


def variables(text: str) -> set[str]:
    """Every ``${NAME}``, but for those in comments."""
    return set(re.findall(r"\$\{(\w+)\}", re.sub(r"#.*", "", text)))


def names_of(environment: Path) -> set[str]:
    """What a file of NAME=VALUE lines sets."""
    return set(re.findall(r"^(\w+)=", environment.read_text("utf-8"), re.MULTILINE))


def configurations() -> dict[str, tuple[str, set[str]]]:
    """Of each kind of deployment: the configuration, and the variables it is given."""
    kubernetes: str = KUBERNETES["ConfigMap"]["data"]["config.yaml"]
    return {
        "systemd": (
            (DEPLOY / "systemd/config.yaml").read_text("utf-8"),
            names_of(DEPLOY / "systemd/secrets.env"),
        ),
        "compose": (
            (DEPLOY / "compose/config.yaml").read_text("utf-8"),
            names_of(DEPLOY / "compose/env.example"),
        ),
        "kubernetes": (
            kubernetes,
            set(re.findall(r"--from-literal=(\w+)=", _MANIFESTS)),
        ),
        "nomad": (render(nomad_template(), vault_keys()), set()),
    }


def read(name: str) -> Config:
    """The configuration of a kind of deployment, by the daemon's own reader."""
    text, given = configurations()[name]
    environ = {each: f"value-of-{each}" for each in given}
    return load(text, environ, default_data_dir=Path("/var/lib/s3proxy"))


def ports(config: Config) -> dict[str, int]:
    """The ports that it listens on."""
    metrics = config.telemetry.metrics.listen_addr
    assert metrics is not None
    return {
        "s3": config.server.listen_port,
        "metrics": int(metrics.rpartition(":")[2]),
    }
