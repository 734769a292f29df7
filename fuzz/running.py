"""The loop: inputs by number, what became of them, and how to have one again."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from random import Random

from attrs import define, frozen

from fuzz.mutation import mutate
from s3proxy.errors import S3Error

#: Between two looks at the clock.
_BATCH = 200
#: After so many, the rest is most likely the same.
_ENOUGH = 10


@frozen
class Target:
    """
    Something that reads bytes of strangers.

    :ivar seeds: Right inputs.
    :ivar run: Reads one input, which was made from the seed of that number; raises
        S3Error for a refused one, and anything else for a finding.
    :ivar tokens: Words of its language.
    :ivar share: Of all inputs, in relation to the other targets'.
    """

    seeds: Sequence[bytes]
    run: Callable[[bytes, int, Random], None]
    tokens: Sequence[bytes] = ()
    share: float = 1.0


@frozen
class Finding:
    """An input that broke something."""

    target: str
    index: int
    data: bytes
    trace: str


@define
class Tally:
    """What became of a target's inputs."""

    inputs: int = 0
    refused: int = 0
    seconds: float = 0.0


@define
class Run:
    """
    One run over several targets.

    :ivar seed: Inputs follow from it.
    """

    targets: Mapping[str, Target]
    seed: int
    tallies: dict[str, Tally]
    findings: list[Finding]

    @classmethod
    def of(cls, targets: Mapping[str, Target], seed: int) -> Run:
        """One that has not begun."""
        return cls(targets, seed, {name: Tally() for name in targets}, [])

    def inputs(self, count: int) -> None:
        """Try that many inputs, shared out among the targets."""
        whole = sum(target.share for target in self.targets.values())
        for name, target in self.targets.items():
            self._some(name, max(1, round(count * target.share / whole)))

    def minutes(self, minutes: float) -> None:
        """Try inputs for so long, every target for its share of the inputs."""
        until = time.monotonic() + minutes * 60
        while time.monotonic() < until and len(self.findings) < _ENOUGH:
            for name, target in self.targets.items():
                self._some(name, max(1, round(_BATCH * target.share)))

    def one(self, name: str, index: int) -> bytes:
        """Try one input."""
        target = self.targets[name]
        random = Random(f"{self.seed}:{name}:{index}")
        number = random.randrange(len(target.seeds))
        data = mutate(random, target.seeds, number, target.tokens)
        try:
            target.run(data, number, random)
        except S3Error:
            self.tallies[name].refused += 1
        except Exception:
            self.findings.append(Finding(name, index, data, traceback.format_exc()))
        return data

    def _some(self, name: str, count: int) -> None:
        tally = self.tallies[name]
        began = time.perf_counter()
        for index in range(tally.inputs, tally.inputs + count):
            self.one(name, index)
            tally.inputs += 1
            if len(self.findings) >= _ENOUGH:
                break
        tally.seconds += time.perf_counter() - began
