"""
``doctor``: what a backend does, what that means for s3proxy, and whether it is what is
known of its provider.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TextIO

from attrs import frozen

from s3proxy.errors import ConfigError
from s3proxy.plan.findings import Finding, Level
from s3proxy.plan.profiles import (
    PROFILES,
    Difference,
    Profile,
    differences,
    profile_for,
)


class Probe(Protocol):
    """``backend.probing.Probe``."""

    async def run(self) -> Sequence[Finding]:
        """Everything that can be found out, in order. BackendError: it cannot."""
        ...


@frozen
class Patient:
    """
    :ivar host: Of its endpoint.
    :ivar place: Endpoint and bucket, as they are shown.
    """

    name: str
    host: str
    place: str
    probe: Probe


def chosen_profile(host: str, name: str | None) -> Profile | None:
    """
    What is known of a backend's provider; None: nothing.

    :param name: As asked for; None: by the host.
    :raises ConfigError: There is no such profile.
    """
    if name is None:
        return profile_for(host)
    if name not in PROFILES:
        raise ConfigError(
            f"doctor: --profile {name}: there is none, want one of "
            f"{', '.join(PROFILES)}"
        )
    return PROFILES[name]


async def run(patient: Patient, *, profile: str | None, out: TextIO) -> int:
    """
    Probe, and print what was found.

    :param profile: Whose it is, where the endpoint's name does not tell.
    :returns: 0 where s3proxy can work with it and it is as known; else 1.
    :raises ConfigError: There is no such profile.
    :raises BackendError: It does not answer, or refuses a plain PUT or GET.
    """
    known = chosen_profile(patient.host, profile)
    out.write(f"{patient.name}: {patient.place}\n")
    findings = await patient.probe.run()
    width = max(len(each.topic) for each in findings)
    for each in findings:
        seen = f" ({each.detail})" if each.detail else ""
        line = f"{each.topic.ljust(width)}  {each.value}{seen}: {each.meaning}"
        out.write(f"{each.level.value.ljust(4)}  {line}\n")
    others = [] if known is None else differences(known, findings)
    _print_profile(known, others, out)
    bad = sum(each.level is Level.BAD for each in findings)
    if bad:
        out.write(f"{bad} findings that s3proxy cannot work with\n")
    return 1 if bad or others else 0


def _print_profile(
    known: Profile | None, others: Sequence[Difference], out: TextIO
) -> None:
    if known is None:
        out.write(
            "no profile: the endpoint's name tells no provider; --profile names one of "
            f"{', '.join(PROFILES)}\n"
        )
        return
    compared = f"{len(known.facts)} facts are known"
    out.write(f"profile {known.name}, {known.title}: {compared}\n")
    for each in others:
        found, fact = each.finding, each.fact
        out.write(
            f"  DIFFERS: {found.topic}: {found.value}, known is "
            f"{' or '.join(fact.values)} ({fact.source})\n"
        )
    if known.facts and not others:
        out.write("  as known\n")
    if known.remark:
        out.write(f"  {known.remark}\n")
