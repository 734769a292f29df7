"""The Makefile's verbs: all of the specification's, told by its help, and honest."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.daemon import ROOT

MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
VERBS = ["run", "test", "integration-test", "generate", "build", "push"]


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it at the top."""
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, capture_output=True, text=True
    )


def test_help_names_every_verb() -> None:
    """Those of the specification are among them."""
    said = make("help").stdout
    known = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.M)
    verbs = set(" ".join(known).split()) - {"help", "clean"}
    assert verbs >= set(VERBS)
    for verb in verbs:
        assert re.search(rf"\bmake {verb}\b", said), verb


@pytest.mark.parametrize("verb", VERBS)
def test_the_verbs_of_the_specification(verb: str) -> None:
    """Make can tell what it would do."""
    assert make("-n", verb, "IMAGE=registry.example.com/s3-proxy:1").returncode == 0


def test_an_image_is_pushed_to_a_registry_that_is_named() -> None:
    pushed = make("push", "IMAGE=s3proxy:latest")
    assert pushed.returncode != 0
    assert "wants IMAGE=registry/name:tag" in pushed.stderr
