"""The XML of a bucket's cross-origin rules, read and written."""

from __future__ import annotations

import re
from collections.abc import Sequence

from s3proxy.errors import InvalidArgument, InvalidRequest, MalformedXML
from s3proxy.s3 import safe_xml
from s3proxy.s3.cors import METHODS, CorsRule
from s3proxy.s3.markup import NAMESPACE, document, element
from s3proxy.s3.safe_xml import Node

#: Of the document, as S3 has it.
MAX_BYTES = 64 * 1024
MAX_RULES = 100

# As many as fit: "<a/>" is the shortest.
_MAX_ELEMENTS = MAX_BYTES // 4
_MAX_ID_CHARACTERS = 255
_SECONDS = re.compile(r"\d{1,9}", re.ASCII)
# A token of RFC 9110 §5.6.2: what a header's name is made of. It has "*" in it.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ORIGIN = re.compile(r"[!-~]+")
_REPEATED = ("AllowedOrigin", "AllowedMethod", "AllowedHeader", "ExposeHeader")
_SINGLE = ("MaxAgeSeconds", "ID")


def parse(document: bytes) -> tuple[CorsRule, ...]:
    """
    Read a CORSConfiguration.

    Elements may be of S3's namespace or of none.

    :raises MalformedXML: It is none, has no rule, or is larger than :data:`MAX_BYTES`.
    :raises InvalidRequest: Over 100 rules, an unknown method, a second ``*``, or a
        header that could be none.
    :raises InvalidArgument: A rule's ID is too long.
    """
    if len(document) > MAX_BYTES:
        raise MalformedXML(
            f"A CORS configuration has at most {MAX_BYTES} bytes, this one has more."
        )
    root = safe_xml.parse(
        document,
        "CORSConfiguration",
        max_bytes=MAX_BYTES,
        max_elements=_MAX_ELEMENTS,
    )
    if not root.children:
        raise MalformedXML()
    if len(root.children) > MAX_RULES:
        raise InvalidRequest(
            "The number of CORS rules should not exceed allowed limit of "
            f"{MAX_RULES} rules."
        )
    return tuple(_rule(child) for child in root.children)


def write(rules: Sequence[CorsRule]) -> bytes:
    """The answer to GetBucketCors."""
    return document(
        f"<CORSConfiguration{NAMESPACE}>"
        + "".join(_written(rule) for rule in rules)
        + "</CORSConfiguration>"
    )


def _rule(rule: Node) -> CorsRule:
    if rule.name != "CORSRule":
        raise MalformedXML()
    found: dict[str, list[str]] = {name: [] for name in (*_REPEATED, *_SINGLE)}
    for child in rule.children:
        if child.name not in found or child.children:
            raise MalformedXML()
        found[child.name].append(child.text.strip())
    origins, methods, headers, exposed = (found[name] for name in _REPEATED)
    if not origins or not methods or any(len(found[name]) > 1 for name in _SINGLE):
        raise MalformedXML()
    for method in methods:
        if method not in METHODS:
            raise InvalidRequest(
                "Found unsupported HTTP method in CORS config. Unsupported method is "
                f"{method}"
            )
    for origin in origins:
        _check("AllowedOrigin", origin, _ORIGIN)
    for header in headers:
        _check("AllowedHeader", header, _TOKEN)
    for header in exposed:
        _check("ExposeHeader", header, _TOKEN)
        if "*" in header:
            raise InvalidRequest(
                f'ExposeHeader "{header}" contains wildcard. We currently do not '
                "support wildcard for ExposeHeader."
            )
    (rule_id,) = found["ID"] or (None,)
    if rule_id is not None and len(rule_id) > _MAX_ID_CHARACTERS:
        raise InvalidArgument(
            f"The ID of a CORS rule has at most {_MAX_ID_CHARACTERS} characters.",
            fields={"ArgumentName": "ID"},
        )
    (seconds,) = found["MaxAgeSeconds"] or (None,)
    if seconds is not None and not _SECONDS.fullmatch(seconds):
        raise MalformedXML()
    return CorsRule(
        tuple(origins),
        tuple(methods),
        tuple(headers),
        tuple(exposed),
        None if seconds is None else int(seconds),
        rule_id,
    )


def _check(element_name: str, value: str, form: re.Pattern[str]) -> None:
    if not value:
        raise MalformedXML()
    if value.count("*") > 1:
        raise InvalidRequest(
            f'{element_name} "{value}" can not have more than one wildcard.'
        )
    if not form.fullmatch(value):
        raise InvalidRequest(f'{element_name} "{value}" contains invalid character.')


def _written(rule: CorsRule) -> str:
    values = (rule.origins, rule.methods, rule.headers, rule.exposed)
    elements = [
        element(name, value)
        for name, of_rule in zip(_REPEATED, values, strict=True)
        for value in of_rule
    ]
    if rule.max_age_seconds is not None:
        elements.append(element("MaxAgeSeconds", str(rule.max_age_seconds)))
    if rule.rule_id is not None:
        elements.insert(0, element("ID", rule.rule_id))
    return f"<CORSRule>{''.join(elements)}</CORSRule>"
