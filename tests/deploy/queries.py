"""What a PromQL query asks for: series, and labels of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import promql_parser

#: What Grafana puts in before it asks.
_GRAFANA = {"$__rate_interval": "5m"}


def parse(query: str) -> Any:
    """
    The query's tree.

    :raises ValueError: It is no PromQL.
    """
    for name, value in _GRAFANA.items():
        query = query.replace(name, value)
    return promql_parser.parse(query)


def series_of(node: Any) -> Iterator[str]:
    """Every series that is asked for."""
    if isinstance(node, promql_parser.VectorSelector):
        yield str(node.name)
    for inner in _below(node):
        yield from series_of(inner)


def problems(node: Any, known: Mapping[str, frozenset[str]]) -> Iterator[str]:
    """
    Series that are not there, and labels that they, or what was made of them, have not.

    :param known: Series, and the labels of each.
    """
    if isinstance(node, promql_parser.VectorSelector):
        if node.name not in known:
            yield f"there is no series {node.name}"
        else:
            for matcher in node.matchers.matchers:
                if matcher.name not in known[node.name]:
                    yield f"{node.name} has no label {matcher.name}"
        return
    for inner in _below(node):
        yield from problems(inner, known)
    if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
        wanted, there = set(node.modifier.labels), _labels(node.expr, known)
        for label in sorted(wanted - there):
            yield f"{node.expr.prettify()} has no label {label}"
    if _is_quantile(node) and "le" not in _labels(node.args[1], known):
        yield f"{node.args[1].prettify()} has no label le"


def _labels(node: Any, known: Mapping[str, frozenset[str]]) -> set[str]:
    """Labels that the result of a query has."""
    if isinstance(node, promql_parser.VectorSelector):
        return set(known.get(node.name, ()))
    if isinstance(node, promql_parser.AggregateExpr):
        return set() if node.modifier is None else set(node.modifier.labels)
    inner = [_labels(each, known) for each in _below(node)]
    found = set().union(*inner)
    return found - {"le"} if _is_quantile(node) else found


def result_labels(query: str, known: Mapping[str, frozenset[str]]) -> set[str]:
    """Labels by which the lines of a query's result differ."""
    return _labels(parse(query), known)


def _is_quantile(node: Any) -> bool:
    called = isinstance(node, promql_parser.Call)
    return called and node.func.name == "histogram_quantile"


def _below(node: Any) -> list[Any]:
    names = ("lhs", "rhs", "expr", "vector_selector", "param")
    found = [getattr(node, name, None) for name in names]
    found += getattr(node, "args", None) or []
    return [each for each in found if each is not None]
