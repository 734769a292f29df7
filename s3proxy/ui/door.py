"""
Who may see the pages, and which page a target is.

``/ui`` cannot be a bucket's path: names of buckets have three characters at least.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from importlib.resources import files
from urllib.parse import parse_qsl

from attrs import define, evolve, field
from twisted.logger import Logger

from s3proxy.config_model import UiConfig
from s3proxy.errors import S3Error, StoreError
from s3proxy.ui.browse import BrowsePage
from s3proxy.ui.layout import SECURITY, problem
from s3proxy.ui.overview import OverviewPage
from s3proxy.web.answer import Answer

#: What a browser is told when it has to ask for the name and the password.
CHALLENGE = 'Basic realm="s3proxy", charset="UTF-8"'


@define(eq=False)
class Door:
    """Its own login, by HTTP's Basic authentication (RFC 7617): nothing is kept."""

    _config: UiConfig
    _overview: OverviewPage
    _browse: BrowsePage
    _style: bytes = field(
        factory=lambda: files("s3proxy.ui").joinpath("style.css").read_bytes(),
        init=False,
    )
    _log = Logger()

    async def answer(self, target: bytes, authorization: Sequence[str]) -> Answer:
        """
        :param target: Path and query, raw.
        :param authorization: Values of the header of that name.
        """
        if not self._knows(authorization):
            refused = await problem(
                401, "Login", "Give the name and the password of ui.* in the file."
            )
            challenge = ("WWW-Authenticate", CHALLENGE)
            return evolve(refused, headers=(*refused.headers, challenge))
        path, _, query = target.partition(b"?")
        try:
            if path in (b"/ui", b"/ui/"):
                return await self._overview.answer()
            if path == b"/ui/browse":
                asked = parse_qsl(query.decode("ascii", "replace"), errors="replace")
                return await self._browse.answer(dict(asked))
        except StoreError as why:
            self._log.warn("ui: {why}", why=why)
            text = "The database does not answer; the log of s3proxy says why."
            return await problem(503, "No database", text)
        except S3Error as why:
            return await problem(why.status, why.code, why.message)
        if path == b"/ui/style.css":
            kind = ("Content-Type", "text/css; charset=utf-8")
            return Answer(200, (kind, *SECURITY), self._style, len(self._style))
        return await problem(404, "No such page", "There are /ui and /ui/browse.")

    def _knows(self, authorization: Sequence[str]) -> bool:
        """Compared in constant time, a wrong name as a wrong password."""
        scheme, _, given = (authorization or [""])[0].partition(" ")
        try:
            shown = base64.b64decode(given.strip(), validate=True)
        except (binascii.Error, ValueError):
            shown = b""
        wanted = f"{self._config.username}:{self._config.password}".encode()
        matches = hmac.compare_digest(shown, wanted)
        return matches and len(authorization) == 1 and scheme.lower() == "basic"
