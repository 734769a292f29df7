"""Requests of both forms, and the front door that they are sent to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Any

from attrs import define, evolve

from s3proxy.config_model import AuthConfig
from tests.s3.signing import ACCESS_KEY_ID, SECRET, Request
from tests.web.conftest import NOW, Door
from tests.web.wire import Response

AUTH = AuthConfig(access_key_id=ACCESS_KEY_ID, secret_access_key=SECRET)
TOKEN = "let me in"
BOTH = AuthConfig(ACCESS_KEY_ID, SECRET, TOKEN)

OLD, BODY = b"what was there before", b"what was sent"
HASH = hashlib.sha256(BODY).hexdigest()

PUT = Request("PUT", "/unified/k", "", (("host", "h"), ("x-amz-meta-a", "b")))
GET = Request("GET", "/unified/k", "", (("host", "h"),))
DELETE = evolve(GET, method="DELETE")

#: The two forms that a signature has.
FORMS = ("header", "presigned")

#: What a case does: makes a request of a form.
Make = Callable[[str], Request]


def sign(request: Request, form: str, *, now: datetime = NOW, **more: Any) -> Request:
    """Sign in either form; the header's covers :data:`BODY`, or no body."""
    if form == "presigned":
        more.pop("payload_hash", None)
        return request.presigned(now=now, **more)
    body = BODY if request.method == "PUT" else b""
    more.setdefault("payload_hash", hashlib.sha256(body).hexdigest())
    return request.signed(now=now, **more)


@define(eq=False)
class Front:
    """A front door with the object ``k`` behind it, and an upload with a part."""

    door: Door

    def __attrs_post_init__(self) -> None:
        self.door.objects.store("unified", "k", OLD)
        self.door.uploads.parts[7] = OLD

    async def send(
        self, request: Request, body: bytes | None = None, *, length: int | None = None
    ) -> Response:
        """
        One request on a connection of its own.

        :param body: Without it, :data:`BODY` for a PUT.
        """
        if body is None:
            body = BODY if request.method == "PUT" else b""
        lines = [f"{request.method} {request.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in request.headers]
        sized = {"content-length", "transfer-encoding"}
        if request.method in ("PUT", "POST") and sized.isdisjoint(
            name for name, _ in request.headers
        ):
            lines.append(f"content-length: {len(body) if length is None else length}")
        wire = await self.door.connect()
        wire.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        answer = await wire.response(head=request.method == "HEAD")
        wire.close()
        return answer

    async def refuses(
        self,
        request: Request,
        status: int,
        code: str,
        body: bytes | None = None,
        *,
        reached: bool = False,
    ) -> Response:
        """
        Send it, and see that it is refused so, and that all is as it was.

        :param reached: The request was let in, and its body is what is wrong.
        """
        answer = await self.send(request, body)
        assert (answer.status, answer.code) == (status, code), answer.body
        self.unchanged(reached=reached)
        return answer

    def unchanged(self, *, reached: bool = False) -> None:
        """Nothing was stored, deleted or read; unless *reached*, nobody was asked."""
        door = self.door
        assert [(key, data) for key, (_, data) in door.objects.objects.items()] == [
            (("unified", "k"), OLD)
        ]
        assert door.uploads.parts == {7: OLD}
        assert door.copies.ops == []
        if not reached:
            assert door.objects.events == []
            assert door.uploads.ops == []
