"""The frame around every page, and how an element becomes an answer."""

from __future__ import annotations

from typing import Any

from twisted.web.template import Tag, flattenString, tags

from s3proxy.telemetry.logs import escape
from s3proxy.web.answer import Answer, Headers

#: The page brings no script and loads nothing from elsewhere, so nothing may be: what
#: is in a key or a job's result stays text whatever it looks like.
SECURITY: Headers = (
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
)

#: Seconds after which a browser fetches the overview again.
REFRESH_SECONDS = 30


async def page(
    title: str, *body: Any, status: int = 200, refresh: bool = False
) -> Answer:
    """
    A whole page.

    :param refresh: Whether the browser fetches it again by itself.
    """
    head = [
        tags.meta(charset="utf-8"),
        tags.meta(name="viewport", content="width=device-width, initial-scale=1"),
        tags.title(f"{title} · s3proxy"),
        tags.link(rel="stylesheet", href="/ui/style.css"),
    ]
    if refresh:
        seconds = str(REFRESH_SECONDS)
        head.append(tags.meta(**{"http-equiv": "refresh", "content": seconds}))
    document = tags.html(
        tags.head(*head),
        tags.body(
            Tag("header")(tags.a("s3proxy", href="/ui")),
            Tag("main")(*body),
        ),
        lang="en",
    )
    text = b"<!DOCTYPE html>\n" + await flattenString(None, document)
    kind = ("Content-Type", "text/html; charset=utf-8")
    return Answer(status, (kind, *SECURITY), text, len(text))


async def problem(status: int, title: str, text: str) -> Answer:
    """A page that says what is wrong and what to do."""
    return await page(title, tags.h1(title), tags.p(text), status=status)


def section(title: str, *content: Any) -> Tag:
    """A part of a page."""
    return Tag("section")(tags.h2(title), *content)


def table(heads: list[str], rows: list[list[Any]]) -> Tag:
    """A table; on a narrow screen each row is a card, and each cell tells its head."""
    return tags.table(
        tags.thead(tags.tr(*[tags.th(head) for head in heads])),
        tags.tbody(
            *[
                tags.tr(
                    *[
                        tags.td(cell, **{"data-head": head})
                        for head, cell in zip(heads, row, strict=True)
                    ]
                )
                for row in rows
            ]
        ),
    )


def legend(**kinds: str) -> Tag:
    """What the colours of bars mean."""
    marks = [
        tags.li(tags.span(class_=f"mark {kind}"), words)
        for kind, words in kinds.items()
    ]
    return tags.ul(*marks, class_="legend")


def name(text: str) -> Tag:
    """What somebody else chose: control characters are shown, not done."""
    return Tag("bdi")(escape(text), class_="name")
