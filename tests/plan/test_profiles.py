"""What is known of providers."""

from __future__ import annotations

import pytest

from s3proxy.plan.findings import MEANINGS, Finding, Level
from s3proxy.plan.profiles import PROFILES, Profile, differences, profile_for
from tests.daemon import ROOT


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda each: each.name)
def test_facts_are_of_findings_and_have_sources(profile: Profile) -> None:
    """A topic that no probe looks at, or a value that none finds, is a slip."""
    assert PROFILES[profile.name] is profile and profile.title
    for topic, fact in profile.facts.items():
        assert fact.values and set(fact.values) <= MEANINGS[topic].keys()
        assert fact.source.startswith("https://") or (ROOT / fact.source).is_file()
    assert not profile.remark or "https://" in profile.remark


def test_all_that_were_asked_for() -> None:
    wanted = {"oci", "b2", "r2", "gcs", "wasabi", "minio", "seaweedfs", "rclone"}
    assert PROFILES.keys() == wanted


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("ns.compat.objectstorage.us-phoenix-1.oraclecloud.com", "oci"),
        ("ns.compat.objectstorage.eu-zurich-1.oci.customer-oci.com", "oci"),
        ("s3.us-west-004.backblazeb2.com", "b2"),
        ("account.r2.cloudflarestorage.com", "r2"),
        ("account.eu.r2.cloudflarestorage.com", "r2"),
        ("storage.googleapis.com", "gcs"),
        ("s3.eu-central-1.wasabisys.com", "wasabi"),
        ("notoraclecloud.com", None),
        ("oraclecloud.com.example.com", None),
        ("127.0.0.1", None),
        ("", None),
    ],
)
def test_by_host(host: str, name: str | None) -> None:
    found = profile_for(host)
    assert (found and found.name) == name


def test_differences() -> None:
    """Only of what is known."""
    found = [
        Finding("versioning", "off"),
        Finding("checksum headers", "refused"),
        Finding("copy", "no"),
    ]
    (difference,) = differences(PROFILES["b2"], found)
    assert difference.finding is found[0] and difference.fact.values == ("on",)


def test_levels() -> None:
    assert Finding("ETag", "wrong MD5").level is Level.BAD
    assert "every write would fail" in Finding("ETag", "wrong MD5").meaning
