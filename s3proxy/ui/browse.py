"""What a bucket holds, a prefix at a time."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from attrs import define
from twisted.web.template import Tag, tags

from s3proxy.model import ListPage
from s3proxy.ui.layout import name, page, table
from s3proxy.ui.ports import Lister
from s3proxy.web.answer import Answer
from s3proxy.wording import size

#: Entries of one page.
ENTRIES = 200


@define(eq=False)
class BrowsePage:
    """Keys are listed as S3's clients list them, with ``/`` as the delimiter."""

    _objects: Lister

    async def answer(self, asked: Mapping[str, str]) -> Answer:
        """
        :param asked: ``bucket``; ``prefix`` and ``after``, if any.
        :raises S3Error: NoSuchBucket.
        """
        bucket, prefix = asked.get("bucket", ""), asked.get("prefix", "")
        after = asked.get("after", "")
        listing = await self._objects.list_objects(bucket, prefix, "/", after, ENTRIES)
        content = [tags.h1(*_trail(bucket, prefix)), _entries(bucket, prefix, listing)]
        if listing.next_after is not None:
            more = _link(bucket, prefix, listing.next_after)
            content.append(tags.p(tags.a("More", href=more, rel="next")))
        return await page(bucket, *content)


def _trail(bucket: str, prefix: str) -> list[Tag | str]:
    """The way from the bucket to the prefix, each step a link."""
    steps: list[Tag | str] = [tags.a(name(bucket), href=_link(bucket, ""))]
    at = ""
    for part in prefix.split("/")[:-1]:
        at += f"{part}/"
        steps += [" / ", tags.a(name(part or "(empty)"), href=_link(bucket, at))]
    if rest := prefix[len(at) :]:
        steps += [" / ", name(rest), "…"]
    return steps


def _entries(bucket: str, prefix: str, listing: ListPage) -> Tag:
    rows: list[list[Tag | str]] = [
        [tags.a(name(each[len(prefix) :]), href=_link(bucket, each)), "", "", ""]
        for each in listing.common_prefixes
    ]
    rows += [
        [
            name(each.key[len(prefix) :] or "(the prefix itself)"),
            size(each.size_bytes),
            each.last_modified.strftime("%Y-%m-%d %H:%M UTC"),
            name(each.etag),
        ]
        for each in listing.contents
    ]
    if not rows:
        return tags.p("Nothing here.")
    return table(["key", "size", "last modified", "ETag"], rows)


def _link(bucket: str, prefix: str, after: str = "") -> str:
    asked = {"bucket": bucket, "prefix": prefix, "after": after}
    return "/ui/browse?" + urlencode({key: each for key, each in asked.items() if each})
