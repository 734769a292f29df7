"""
Cross-origin rules of a bucket: which of them lets a browser's request through.

Rules only tell browsers what scripts of other origins may do. They let nobody in: every
request is authenticated as it would be without them, but for the preflight question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from s3proxy.errors import AccessForbidden, BadRequest

METHODS = ("GET", "PUT", "HEAD", "POST", "DELETE")

# What the answer depends on beside the URL: caches between must know.
_VARY = (
    "Vary",
    "Origin, Access-Control-Request-Headers, Access-Control-Request-Method",
)

Headers = tuple[tuple[str, str], ...]


@frozen
class CorsRule:
    """
    One rule. Origins and headers may have one ``*`` each, for any run of characters.

    :ivar methods: Of :data:`METHODS`.
    :ivar headers: What a request may carry; case does not matter.
    :ivar exposed: Headers of the answer that scripts may read.
    :ivar max_age_seconds: How long a browser may remember the answer to a preflight.
    """

    origins: tuple[str, ...]
    methods: tuple[str, ...]
    headers: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    max_age_seconds: int | None = None
    rule_id: str | None = None

    def allows(self, origin: str, method: str, headers: Sequence[str]) -> bool:
        """
        Whether scripts of *origin* may send *method* with these headers.

        :param headers: Names in lower case.
        """
        return (
            method in self.methods
            and any(_matches(pattern, origin) for pattern in self.origins)
            and all(
                any(_matches(pattern.lower(), name) for pattern in self.headers)
                for name in headers
            )
        )


@frozen
class Preflight:
    """
    What a browser asks before the request itself.

    :ivar headers: Names in lower case.
    """

    origin: str
    method: str
    headers: tuple[str, ...]


def parse_preflight(headers: Mapping[str, str]) -> Preflight:
    """
    Read the headers of an OPTIONS request.

    :raises BadRequest: It is no question that can be answered.
    """
    origin = headers.get("origin", "").strip()
    if not origin:
        raise BadRequest("Insufficient information. Origin request header needed.")
    method = headers.get("access-control-request-method", "").strip()
    if method not in METHODS:
        raise BadRequest(f"Invalid Access-Control-Request-Method: {method or 'null'}")
    asked = headers.get("access-control-request-headers", "").split(",")
    names = tuple(name.strip().lower() for name in asked if name.strip())
    return Preflight(origin, method, names)


def answer_preflight(
    rules: Sequence[CorsRule] | None, asked: Preflight, resource_type: str
) -> Headers:
    """
    The headers of the answer to a preflight.

    :param rules: None: the bucket has no configuration.
    :param resource_type: ``BUCKET`` or ``OBJECT``, for the error.
    :raises AccessForbidden: No rule allows it (403).
    """
    fields = {"Method": asked.method, "ResourceType": resource_type}
    if rules is None:
        raise AccessForbidden(
            "CORSResponse: CORS is not enabled for this bucket.", fields=fields
        )
    for rule in rules:
        if rule.allows(asked.origin, asked.method, asked.headers):
            allowed = ("Access-Control-Allow-Headers", ", ".join(asked.headers))
            return (*((allowed,) if asked.headers else ()), *_told(rule, asked.origin))
    raise AccessForbidden(
        "CORSResponse: This CORS request is not allowed. This is usually because the "
        "evaluation of Origin, request method / Access-Control-Request-Method or "
        "Access-Control-Request-Headers are not whitelisted by the resource's CORS "
        "spec.",
        fields=fields,
        headers=dict([_VARY]),
    )


def answer_actual(
    rules: Sequence[CorsRule] | None, method: str, headers: Mapping[str, str]
) -> Headers:
    """
    What the rules add to the answer of any other request, whatever its outcome.

    :param method: The request's, unless it names another that it stands for.
    """
    if rules is None:
        return ()
    origin = headers.get("origin", "").strip()
    asked = headers.get("access-control-request-method", method).strip()
    for rule in rules:
        if rule.allows(origin, asked, ()):
            return _told(rule, origin)
    return (_VARY,)


def _told(rule: CorsRule, origin: str) -> Headers:
    """What an allowed origin is told."""
    anybody = "*" in rule.origins
    told = [
        ("Access-Control-Allow-Origin", "*" if anybody else origin),
        ("Access-Control-Allow-Methods", ", ".join(rule.methods)),
    ]
    if rule.exposed:
        told.append(("Access-Control-Expose-Headers", ", ".join(rule.exposed)))
    if rule.max_age_seconds is not None:
        told.append(("Access-Control-Max-Age", str(rule.max_age_seconds)))
    if not anybody:
        told.append(("Access-Control-Allow-Credentials", "true"))
    return (*told, _VARY)


def _matches(pattern: str, text: str) -> bool:
    start, star, end = pattern.partition("*")
    if not star:
        return text == pattern
    return (
        len(text) >= len(start) + len(end)
        and text.startswith(start)
        and text.endswith(end)
    )
