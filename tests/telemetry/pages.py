"""What a metrics page says, read as Prometheus' own reference parser does."""

from __future__ import annotations

from attrs import define, field
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families


@define
class Page:
    """
    :ivar families: By name; a counter's is without ``_total``.
    """

    text: str
    families: dict[str, Metric] = field(init=False)
    _values: dict[tuple[str, frozenset[tuple[str, str]]], float] = field(init=False)

    def __attrs_post_init__(self) -> None:
        found = list(text_string_to_metric_families(self.text))
        self.families = {each.name: each for each in found}
        assert len(self.families) == len(found), "a series is there twice"
        self._values = {}
        for family in found:
            for sample in family.samples:
                key = sample.name, frozenset(sample.labels.items())
                assert key not in self._values, key
                self._values[key] = sample.value

    @classmethod
    def of(cls, registry: CollectorRegistry) -> Page:
        return cls(generate_latest(registry).decode())

    def value(self, name: str, **labels: str) -> float | None:
        """A sample with exactly these labels; None where there is none."""
        return self._values.get((name, frozenset(labels.items())))

    def total(self, name: str, **labels: str) -> float:
        """All samples that have these labels, added up."""
        return sum(
            value
            for (each, has), value in self._values.items()
            if each == name and has >= set(labels.items())
        )

    def labels(self, name: str, label: str) -> set[str]:
        """The values of a label."""
        return {dict(has)[label] for (each, has) in self._values if each == name}
