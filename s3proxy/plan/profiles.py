"""
What is known of providers: each fact with where it is from.

Only what somebody has written down or what this project's tests have seen; where there
is nothing to compare with, a finding is told as it is. Providers change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import field, frozen

from s3proxy.plan.findings import Finding

#: A fact that this project's tests find each time they run.
MEASURED = "tests/commands/test_doctor.py"


@frozen
class Fact:
    """
    :ivar values: What a probe may find; more than one where it is the bucket's choice.
    :ivar source: Where it is from.
    """

    values: tuple[str, ...]
    source: str


@frozen
class Profile:
    """
    :ivar hosts: Ends of its endpoints' host names; none of what anybody may run.
    :ivar facts: By topic.
    :ivar remark: What no probe can see, with its source; may be empty.
    """

    name: str
    title: str
    hosts: tuple[str, ...] = ()
    facts: Mapping[str, Fact] = field(factory=dict)
    remark: str = ""


@frozen
class Difference:
    """A finding that is not what is known."""

    finding: Finding
    fact: Fact


def _fact(*values: str, source: str) -> Fact:
    return Fact(values, source)


_R2 = "https://developers.cloudflare.com/r2"
_OCI = "https://docs.oracle.com/en-us/iaas/Content/Object/s3-virtual-style.htm"
_B2_CHECKSUMS = "https://github.com/iterate-ch/cyberduck/issues/16107"
_GITHUB = "https://github.com"

PROFILES: Mapping[str, Profile] = {
    each.name: each
    for each in (
        Profile(
            "oci",
            "Oracle Cloud Infrastructure Object Storage",
            ("oraclecloud.com", "customer-oci.com"),
            {"addressing": _fact("as configured", "both", source=_OCI)},
            "Virtual-host style is for buckets that were made so, at another endpoint: "
            f"{_OCI}. It refuses aws-chunked bodies, which s3proxy never sends: "
            f"{_GITHUB}/activepieces/activepieces/issues/14110",
        ),
        Profile(
            "b2",
            "Backblaze B2",
            ("backblazeb2.com",),
            {
                "checksum headers": _fact("refused", source=_B2_CHECKSUMS),
                "versioning": _fact(
                    "on",
                    source=f"{_GITHUB}/Backblaze/B2_Command_Line_Tool/issues/324",
                ),
            },
            "Versions go only by a lifecycle rule (keep only the last version): "
            f"{_GITHUB}/Backblaze/B2_Command_Line_Tool/issues/324",
        ),
        Profile(
            "r2",
            "Cloudflare R2",
            ("r2.cloudflarestorage.com",),
            {
                "conditional PUT": _fact(
                    "yes", source=f"{_R2}/api/s3/conditional-operations/"
                ),
                "metadata": _fact("kept", source=f"{_R2}/platform/limits/"),
                "checksum headers": _fact("verified", source=f"{_R2}/api/s3/api/"),
            },
            "One write a second to the same key, which s3proxy never needs: "
            f"{_R2}/platform/limits/",
        ),
        Profile(
            "gcs",
            "Google Cloud Storage, XML API",
            ("storage.googleapis.com",),
            {
                "ETag": _fact(
                    "MD5",
                    source="https://gitlab.com/gitlab-org/gitlab-workhorse/"
                    "merge_requests/398",
                )
            },
            "Signed headers that it changes or does not know break the signature, so "
            "s3proxy signs few: "
            "https://gitlab.com/gitlab-org/gitlab/-/merge_requests/214540",
        ),
        Profile(
            "wasabi",
            "Wasabi",
            ("wasabisys.com",),
            {
                "versioning": _fact(
                    "off",
                    "on",
                    source="https://docs.wasabi.com/docs/operations-on-buckets",
                )
            },
        ),
        Profile(
            "minio",
            "MinIO",
            (),
            {
                "conditional PUT": _fact(
                    "yes",
                    source="https://docs.min.io/enterprise/aistor-object-store/"
                    "developers/s3-api-compatibility",
                ),
                "ETag": _fact("MD5", source=f"{_GITHUB}/minio/minio/issues/21526"),
            },
        ),
        Profile(
            "seaweedfs",
            "SeaweedFS",
            (),
            {
                "ETag": _fact("MD5", source=MEASURED),
                "Content-MD5": _fact("verified", source=MEASURED),
                "checksum headers": _fact("verified", source=MEASURED),
                "conditional PUT": _fact(
                    "yes", source=f"{_GITHUB}/seaweedfs/seaweedfs/issues/7153"
                ),
                "metadata": _fact("kept", source=MEASURED),
                "keys": _fact("usual", source=MEASURED),
                "copy": _fact("yes", source=MEASURED),
                "listing order": _fact("other", "by bytes", source=MEASURED),
            },
            "Conditional PUTs at the same time may all succeed, which s3proxy never "
            f"needs: {_GITHUB}/seaweedfs/seaweedfs/issues/8800",
        ),
        Profile(
            "rclone",
            "rclone serve s3",
            (),
            {
                "ETag": _fact(
                    "MD5", source="https://rclone.org/commands/rclone_serve_s3/"
                ),
                "Content-MD5": _fact("verified", source=MEASURED),
                "checksum headers": _fact("ignored", source=MEASURED),
                "conditional PUT": _fact("ignored", source=MEASURED),
                "metadata": _fact("less than 2 KiB", source=MEASURED),
                "keys": _fact("usual", source=MEASURED),
                "copy": _fact("yes", source=MEASURED),
                "versioning": _fact(
                    "off", source="https://rclone.org/commands/rclone_serve_s3/"
                ),
            },
            "Its manual calls it experimental, and says that metadata are kept in "
            "memory only, so sync --rebuild cannot make a lost ledger of it once it "
            "was restarted: https://rclone.org/commands/rclone_serve_s3/",
        ),
    )
}


def profile_for(host: str) -> Profile | None:
    """The profile of an endpoint's host; None where the name does not tell."""
    for profile in PROFILES.values():
        for end in profile.hosts:
            if host == end or host.endswith(f".{end}"):
                return profile
    return None


def differences(profile: Profile, findings: Iterable[Finding]) -> list[Difference]:
    """What is other than is known of the provider."""
    return [
        Difference(finding, profile.facts[finding.topic])
        for finding in findings
        if finding.topic in profile.facts
        and finding.value not in profile.facts[finding.topic].values
    ]
