"""
Finding out what a backend does, with small objects under a prefix of the probe's own.

Nothing else in the bucket is touched. What was written is deleted in the end, whatever
came in between.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Awaitable, Callable
from datetime import datetime
from hashlib import md5, sha256

from attrs import define, field
from twisted.internet.abstract import isIPAddress, isIPv6Address

from s3proxy.backend.answers import Answer, md5_in, version_of
from s3proxy.backend.copying import copy_headers
from s3proxy.backend.documents import (
    bare_etag,
    parse_copied,
    parse_error,
    parse_page,
    parse_versioning,
)
from s3proxy.backend.probe_calls import ProbeCalls
from s3proxy.errors import BackendError, BackendRefused
from s3proxy.manager.ports import BackendKey
from s3proxy.plan.description import METADATA_LIMIT_BYTES
from s3proxy.plan.findings import Finding
from s3proxy.s3.dates import parse_http_date

BODY = b"s3proxy doctor: a small object\n"

#: Such as s3proxy gives its own objects, and such as only sync may meet.
USUAL_KEYS = {
    "a space": "a b",
    "a plus": "a+b",
    "a percent sign": "a%20b",
    "an ampersand and a question mark": "a&b?c=d",
    "a tilde": "a~01J",
    "quotes": "a'b\"c",
    "letters beyond ASCII": "é/日本",
    "200 bytes in a segment": "s" * 200,
    "900 bytes": "/".join(["l" * 100] * 8),
}
ODD_KEYS = {
    "a key that is another's directory": "a b/c",
    "a slash at the end": "d/",
    "two slashes": "d//e",
    "a dot segment": "d/./e",
    "two dots": "d/f/../e",
    "a backslash": "d\\e",
    "a control character": "d\x01e",
    "250 bytes in a segment": "t" * 250,
}

#: Off by so much, signatures are refused soon; 15 minutes are the limit.
_SKEW_SECONDS = 60.0


@define(eq=False)
class Probe:
    """
    :ivar prefix: Of the probe's keys; ends with a slash, and nobody else uses it.
    :ivar other: The same backend in the other addressing style; None where there is
        none.
    """

    _calls: ProbeCalls
    _other: ProbeCalls | None
    prefix: str
    _now: Callable[[], datetime]
    _written: dict[str, set[str]] = field(factory=dict)

    async def run(self) -> list[Finding]:
        """
        Everything that can be found out, in order.

        :raises BackendError: It does not answer, or refuses what is needed for any
            finding: a plain PUT and GET.
        """
        findings: list[Finding] = []
        try:
            findings.append(await self._clock())
            steps: list[Callable[[], Awaitable[list[Finding]]]] = [
                self._addressing,
                self._bodies,
                self._digests,
                self._conditions,
                self._ranges,
                self._metadata,
                self._keys,
                self._copy,
                self._deleting,
                self._listing,
                self._versioning,
            ]
            for step in steps:
                findings += await step()
        finally:
            left = await self._clean_up()
        findings.append(
            Finding("cleaning up", "left", ", ".join(left[:3]))
            if left
            else Finding("cleaning up", "done")
        )
        return findings

    async def _put(
        self, name: str, headers: dict[str, str] | None = None, body: bytes = BODY
    ) -> Answer:
        return await self._writing("PUT", name, headers, body)

    async def _writing(
        self,
        method: str,
        name: str,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """A call that may leave something, if only the mark of a deletion."""
        key = self.prefix + name
        # Before it is sent: it may land without an answer.
        versions = self._written.setdefault(key, set())
        answer = await self._calls.call(method, key, headers=headers, body=body)
        version = version_of(answer)
        if not answer.is_error and version is not None:
            versions.add(version)
        return answer

    async def _get(self, name: str, headers: dict[str, str] | None = None) -> Answer:
        return await self._calls.call("GET", self.prefix + name, headers=headers)

    async def _head(self, name: str) -> Answer:
        return await self._calls.call("HEAD", self.prefix + name)

    async def _clock(self) -> Finding:
        answer = await self._put("plain", _signed(BODY))
        if answer.is_error:
            raise BackendRefused(self._calls.name, f"a plain PUT: {_told(answer)}")
        got = await self._get("plain")
        if got.status != 200 or got.body != BODY:
            raise BackendRefused(self._calls.name, f"a plain GET: {_told(got)}")
        date = parse_http_date(answer.header("date") or "")
        if date is None:
            return Finding("clock", "untold")
        skew = (date - self._now()).total_seconds()
        side = "ahead of" if skew > 0 else "behind"
        return Finding(
            "clock",
            "right" if abs(skew) < _SKEW_SECONDS else "off",
            f"{abs(skew):.0f} s {side} this machine's",
        )

    async def _addressing(self) -> list[Finding]:
        if self._other is None:
            return [Finding("addressing", "as configured", "its host is an address")]
        try:
            answer = await self._other.call("GET", f"{self.prefix}plain")
        except BackendError as why:
            return [Finding("addressing", "as configured", why.reason)]
        if answer.status == 200 and answer.body == BODY:
            return [Finding("addressing", "both")]
        return [Finding("addressing", "as configured", _told(answer))]

    async def _bodies(self) -> list[Finding]:
        plain = await self._head("plain")
        etag = bare_etag(plain.header("etag"))
        told = md5_in(plain, etag)
        digest = md5(BODY, usedforsecurity=False).hexdigest()
        value = "none" if etag is None else "other"
        if told is not None:
            value = "MD5" if told == digest else "wrong MD5"
        streamed = await self._put("unsigned")
        empty = await self._put("empty", _signed(b""), b"")
        back = await self._get("empty")
        is_empty = not empty.is_error and back.status == 200 and not back.body
        return [
            Finding("ETag", value, etag or ""),
            _yes("unsigned payload", not streamed.is_error, streamed),
            _yes("empty body", is_empty, back if not empty.is_error else empty),
        ]

    async def _digests(self) -> list[Finding]:
        return [
            await self._digest(
                "Content-MD5",
                "content-md5",
                lambda data: md5(data, usedforsecurity=False).digest(),
            ),
            await self._digest(
                "checksum headers",
                "x-amz-checksum-sha256",
                lambda data: sha256(data).digest(),
            ),
        ]

    async def _digest(
        self, topic: str, header: str, digest: Callable[[bytes], bytes]
    ) -> Finding:
        right = await self._put(header, {header: b64encode(digest(BODY)).decode()})
        if right.is_error:
            return Finding(topic, "refused", _told(right))
        wrong = await self._put(header, {header: b64encode(digest(b"no")).decode()})
        return Finding(topic, "verified" if wrong.is_error else "ignored")

    async def _conditions(self) -> list[Finding]:
        answer = await self._put("plain", {"if-none-match": "*"})
        value = "refused" if answer.is_error else "ignored"
        if answer.status == 412:
            new = await self._put("conditional", {"if-none-match": "*"})
            value = "refused" if new.is_error else "yes"
        return [Finding("conditional PUT", value)]

    async def _ranges(self) -> list[Finding]:
        answer = await self._get("plain", {"range": "bytes=2-8"})
        is_good = answer.status in (200, 206) and answer.body == BODY[2:9]
        return [_yes("ranges", is_good, answer)]

    async def _metadata(self) -> list[Finding]:
        names = [f"x-amz-meta-s3proxy-{number}" for number in range(8)]
        value = "kept"
        for total in (METADATA_LIMIT_BYTES, METADATA_LIMIT_BYTES // 4):
            room = total // len(names) - len("s3proxy-0")
            sent = dict.fromkeys(names, "v" * room)
            answer = await self._put("metadata", sent)
            if not answer.is_error:
                break
            value = "less than 2 KiB"
        found = await self._head("metadata")
        if answer.is_error:
            value = "refused"
        elif any(found.header(name) != text for name, text in sent.items()):
            value = "lost"
        await self._put("metadata-names", {"X-Amz-Meta-MixedCase": "Value"})
        back = await self._head("metadata-names")
        is_kept = back.header("x-amz-meta-mixedcase") == "Value"
        return [
            Finding("metadata", value, _told(answer) if answer.is_error else ""),
            Finding("metadata names", "kept" if is_kept else "lost"),
        ]

    async def _keys(self) -> list[Finding]:
        bad = [what for what, name in USUAL_KEYS.items() if not await self._keeps(name)]
        odd = [what for what, name in ODD_KEYS.items() if not await self._keeps(name)]
        listed = {each.key for each in (await self._list_all())[0]}
        for kind, names in ((bad, USUAL_KEYS), (odd, ODD_KEYS)):
            kind += [
                what
                for what, name in names.items()
                if what not in kind and self.prefix + name not in listed
            ]
        value = "few" if bad else "usual" if odd else "all"
        detail = f"not: {'; '.join(bad or odd)}" if bad or odd else ""
        return [Finding("keys", value, detail)]

    async def _keeps(self, name: str) -> bool:
        body = f"of {name!r}".encode()
        try:
            if (await self._put(name, _signed(body), body)).is_error:
                return False
            answer = await self._get(name)
        except BackendError:
            # Some break the connection off.
            return False
        return answer.status == 200 and answer.body == body

    async def _copy(self) -> list[Finding]:
        source = self._calls.copy_source(f"{self.prefix}plain")
        sent = {**copy_headers(source), "x-amz-meta-kind": "copy"}
        answer = await self._writing("PUT", "copy", sent)
        is_good = False
        if answer.status == 200 and not answer.is_error:
            try:
                parse_copied(answer.body)
                is_good = (await self._get("copy")).body == BODY
            except ValueError:
                is_good = False
        return [_yes("copy", is_good, answer)]

    async def _deleting(self) -> list[Finding]:
        answer = await self._writing("DELETE", "never-was")
        value = "fails"
        if answer.status in (200, 204) and not answer.is_error:
            value = "succeeds"
        elif answer.status == 404:
            code, _ = parse_error(answer.body) or ("", "")
            value = "NoSuchKey" if code == "NoSuchKey" else "fails"
        detail = _told(answer) if value == "fails" else ""
        return [Finding("deleting what is not there", value, detail)]

    async def _listing(self) -> list[Finding]:
        names = ["list/b", "list/a/z", "list/B", "list/a-", "list/é"]
        for name in names:
            await self._put(name, _signed(BODY))
        entries, problem = await self._list_all(f"{self.prefix}list/", 2)
        found = [each.key for each in entries]
        wanted = {self.prefix + name for name in names}
        is_complete = problem == "" and set(found) == wanted
        detail = (
            problem or f"{len(set(found) & wanted)} of {len(wanted)} keys, in pages"
        )
        in_order = found == sorted(found, key=str.encode)
        return [
            Finding("listing", "complete" if is_complete else "incomplete", detail),
            Finding("listing order", "by bytes" if in_order else "other"),
        ]

    async def _versioning(self) -> list[Finding]:
        answer = await self._calls.call("GET", "", {"versioning": ""})
        try:
            is_on = answer.status == 200 and parse_versioning(answer.body)
        except ValueError:
            is_on = False
        value = "on" if is_on or any(self._written.values()) else "off"
        return [Finding("versioning", value)]

    async def _list_all(
        self, prefix: str | None = None, limit: int = 1000
    ) -> tuple[list[BackendKey], str]:
        """The keys, and what was wrong with the listing."""
        query = {
            "list-type": "2",
            "encoding-type": "url",
            "prefix": self.prefix if prefix is None else prefix,
            "max-keys": str(limit),
        }
        found: list[BackendKey] = []
        for _ in range(100):
            answer = await self._calls.call("GET", "", query)
            try:
                page = parse_page(answer.body)
            except ValueError as why:
                return found, f"{_told(answer)}: {why}"
            found += page.keys
            if page.next_token is None:
                return found, ""
            query["continuation-token"] = page.next_token
        return found, "it does not end"

    async def _clean_up(self) -> list[str]:
        """Delete what was written, and what is listed; what is there yet."""
        for key, versions in self._written.items():
            # A plain delete would leave a mark where versions are kept.
            for version in versions or (None,):
                await self._delete(key, version)
        # Under another name, or another version, than was asked for.
        for each in (await self._list_all())[0]:
            if each.key.startswith(self.prefix):
                await self._delete(each.key, None)
        left, problem = await self._list_all()
        keys = [each.key for each in left if each.key.startswith(self.prefix)]
        return [f"not listed: {problem}"] if problem and not keys else keys

    async def _delete(self, key: str, version: str | None) -> None:
        query = {} if version is None else {"versionId": version}
        try:
            await self._calls.call("DELETE", key, query)
        except BackendError:
            # What is there yet is told.
            return


def other_style(endpoint_host: str) -> bool:
    """Whether a bucket's name could be put before this host."""
    return not (isIPAddress(endpoint_host) or isIPv6Address(endpoint_host))


def _signed(body: bytes) -> dict[str, str]:
    return {"x-amz-content-sha256": sha256(body).hexdigest()}


def _told(answer: Answer) -> str:
    code, message = parse_error(answer.body) or ("", "")
    text = f"{answer.status} {code} {message}".strip()
    return "".join(c if c.isprintable() else " " for c in text)[:120]


def _yes(topic: str, is_so: bool, answer: Answer) -> Finding:
    return Finding(topic, "yes") if is_so else Finding(topic, "no", _told(answer))
