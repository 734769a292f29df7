"""The pages, over values: who sees them, what they say, and that text stays text."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest
import pytest_twisted
from attrs import define, evolve

from s3proxy.config_model import UiConfig
from s3proxy.errors import NoSuchBucket, StoreUnavailable
from s3proxy.model import ListPage, ObjectInfo
from s3proxy.plan.usage import Used
from s3proxy.store.jobs import JobRow
from s3proxy.store.overview import OpenUpload
from s3proxy.store.status import BackendFill
from s3proxy.store.traffic import Minute
from s3proxy.ui.browse import BrowsePage
from s3proxy.ui.door import Door
from s3proxy.ui.overview import OverviewPage
from s3proxy.web.answer import Answer

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
GIB = 1024**3
EVIL = "a/<script>alert(1)</script>\u202e&\"'.txt"


@define(eq=False)
class Ledger:
    """What the pages ask, answered from values."""

    fills: Sequence[BackendFill] = (
        BackendFill("one", 3 * GIB, 4 * GIB, GIB, GIB // 2),
        BackendFill("two", 5 * GIB, 0, 0, 0),
    )
    rows: Sequence[JobRow] = ()
    missing: tuple[int, int] = (0, 0)
    minutes: Sequence[Minute] = ()
    open: Sequence[OpenUpload] = ()
    away: bool = False

    async def backends(self) -> Sequence[BackendFill]:
        if self.away:
            raise StoreUnavailable("secret words of the database")
        return self.fills

    async def jobs(self) -> Sequence[JobRow]:
        return self.rows

    async def usage(self) -> list[Used]:
        return [Used("one", "class_a", 12)]

    async def under_replicated(self, factor: int) -> tuple[int, int]:
        return self.missing

    async def last_hour(self) -> Sequence[Minute]:
        return self.minutes

    async def uploads(self, limit: int) -> tuple[int, Sequence[OpenUpload]]:
        return len(self.open), self.open[:limit]

    async def buckets(self) -> Sequence[str]:
        return ["unified"]

    async def list_objects(
        self, bucket: str, prefix: str, delimiter: str, after: str, limit: int
    ) -> ListPage:
        if bucket != "unified":
            raise NoSuchBucket
        found = ObjectInfo("unified", EVIL, "1", 5, "etag", None, NOW)
        if after:
            return ListPage((), (), None)
        if prefix == "a/":
            return ListPage((found,), (), "a/b")
        return ListPage((), ("a/",), None)


def door(ledger: Ledger) -> Door:
    config = UiConfig(True, "admin", "pass word")
    limits = {"one": {"class_a": 12, "class_b": 30}}
    pages = OverviewPage(ledger, ledger, ledger, ["one", "two"], 2, limits)
    return Door(config, pages, BrowsePage(ledger))


def basic(text: str) -> list[str]:
    return ["Basic " + base64.b64encode(text.encode()).decode()]


RIGHT = basic("admin:pass word")


async def get(ledger: Ledger, target: str = "/ui") -> tuple[Answer, str]:
    answer = await door(ledger).answer(target.encode(), RIGHT)
    assert len(answer.body) == answer.length
    return answer, answer.body.decode()


class Text(HTMLParser):
    """What a reader of the page sees, and where its links lead."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.links, self.tags = "", [], set[str]()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "a":
            self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.text += data + " "


@pytest.mark.parametrize(
    "shown",
    [
        [],
        [""],
        ["Basic"],
        ["Basic !!!"],
        basic("admin:wrong"),
        basic("other:pass word"),
        basic("admin:pass word "),
        basic(":"),
        ["Bearer " + RIGHT[0].removeprefix("Basic ")],
        [*RIGHT, *RIGHT],
        ["AWS4-HMAC-SHA256 Credential=a"],
    ],
)
@pytest.mark.parametrize("target", [b"/ui", b"/ui/browse?bucket=unified", b"/ui/x"])
@pytest_twisted.ensureDeferred
async def test_nobody_else_sees_anything(shown: list[str], target: bytes) -> None:
    answer = await door(Ledger()).answer(target, shown)
    assert answer.status == 401
    assert dict(answer.headers)["WWW-Authenticate"].startswith("Basic ")
    assert b"unified" not in answer.body and b"one" not in answer.body.split(b"main")[1]


@pytest_twisted.ensureDeferred
async def test_every_page_forbids_scripts_and_frames() -> None:
    for target in ("/ui", "/ui/", "/ui/browse?bucket=unified", "/ui/none"):
        answer, page = await get(Ledger(), target)
        headers = dict(answer.headers)
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Cache-Control"] == "no-store"
        assert not Text(page).tags & {"script", "img", "iframe", "form"}
    style, _ = await get(Ledger(), "/ui/style.css")
    assert dict(style.headers)["Content-Type"].startswith("text/css")


@pytest_twisted.ensureDeferred
async def test_the_overview_shows_backends_and_that_all_is_well() -> None:
    _, page = await get(Ledger())
    text = Text(page).text
    assert "Nothing wants attention" in text
    assert "3.0 GiB of 4.0 GiB (75%)" in text and "5.0 GiB, no limit" in text
    assert "512.0 MiB claimed" in text and "1.0 GiB to be deleted" in text
    assert "this month: class_a 12 of 12 calls (100%), used up" in text
    assert "this month: class_b 0 of 30 calls (0%)" in text
    # 1.5 GiB of 4 are live, then 0.5 claimed, then 1 leaving.
    for place in ('width="37.50"', 'x="37.50"', 'x="50.00"'):
        assert place in page


@pytest_twisted.ensureDeferred
async def test_what_wants_attention_is_said() -> None:
    begun = NOW - timedelta(minutes=10)
    failed = JobRow("replicate", "h:1", begun, 1.5, False, "no room", NOW, None, NOW)
    late = evolve(failed, name="reap claims", is_good=True, next_run_at=begun)
    busy = evolve(late, name="rebalance", taken_by="h:2")
    full = BackendFill("one", 5, 4, 0, 0)
    ledger = Ledger(fills=[full], rows=[failed, late, busy], missing=(5, 2))
    text = Text((await get(ledger))[1]).text
    for words in (
        "2 parts of objects have no copy",
        "3 parts of objects have fewer than 2 copies",
        "“replicate” failed: no room",
        "“reap claims” is overdue",
        "one is above its limit",
    ):
        assert words in text
    assert "“rebalance” is overdue" not in text
    assert "Nothing wants attention" not in text


@pytest_twisted.ensureDeferred
async def test_the_hour_is_drawn_and_summed() -> None:
    minutes = [Minute(NOW, 10, 2, 1), Minute(NOW, 0, 0, 0), Minute(NOW, 20, 0, 0)]
    _, page = await get(Ledger(minutes=minutes))
    assert "30 requests, 2 answered 4xx, 1 answered 5xx" in Text(page).text
    assert page.count('class="good"') == 2 and page.count('class="server"') == 1


@pytest_twisted.ensureDeferred
async def test_uploads_are_listed() -> None:
    uploads = [OpenUpload("unified", EVIL, 7200.0, 3, 30 * 1024**2)] * 21
    text = Text((await get(Ledger(open=uploads)))[1]).text
    assert "2 h ago" in text and "30.0 MiB" in text and "The oldest 20 of 21" in text


@pytest_twisted.ensureDeferred
async def test_keys_stay_text_and_links_lead_to_them() -> None:
    _, top = await get(Ledger(), "/ui/browse?bucket=unified")
    [link] = [each for each in Text(top).links if "prefix" in each]
    _, page = await get(Ledger(), link)
    read = Text(page)
    assert "script" not in read.tags
    assert "<script>alert(1)</script>\\u202e&\"'.txt" in read.text
    [more] = [each for each in read.links if "after" in each]
    _, last = await get(Ledger(), more)
    assert "Nothing here" in Text(last).text


@pytest_twisted.ensureDeferred
async def test_errors_are_pages_and_tell_no_secrets() -> None:
    answer, page = await get(Ledger(away=True))
    assert answer.status == 503 and "secret" not in page and "database" in page
    for query in ("", "?bucket=other", "?bucket=%ff%00&prefix=<b>", "?%zz=&="):
        answer, page = await get(Ledger(), f"/ui/browse{query}")
        assert answer.status == 404 and "<b>" not in page
    answer, _ = await get(Ledger(), "/ui/etc/passwd")
    assert answer.status == 404
