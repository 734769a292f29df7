"""What the state machine sends, and the dictionary that it compares with."""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib
from collections.abc import Mapping

from attrs import field, frozen
from hypothesis import strategies as st

from tests.strategies import keys
from tests.system.wire import make_body, md5

KIB, MIB = 1024, 1024 * 1024
ODD_KEYS = (
    "k",
    "a/b",
    "a/b/c",
    "a//b",
    "/a",
    "a/",
    "a/../b",
    ".",
    "..",
    "a b+c%2Fd",
    "é/日本.txt",
    "a~01J00000000000000000000000",
    "~/01J00000000000000000000000",
    "x" * 1024,
)
SIZES = (0, 1, 4 * KIB, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 200 * KIB)
#: Over 1 MiB a body is streamed and not kept. Slower, so fewer.
LARGE_SIZES = (MIB + 200 * KIB, 3 * MIB)


@frozen
class Held:
    """An object as the model has it; *headers* are those to come back."""

    body: bytes = field(repr=False)
    headers: dict[str, str] = field(factory=dict)

    @property
    def etag(self) -> str:
        """What every answer must say."""
        return md5(self.body)


def any_keys() -> st.SearchStrategy[str]:
    """Mostly few keys, so that they meet."""
    return st.one_of(st.sampled_from(ODD_KEYS), st.sampled_from(ODD_KEYS), keys())


def bodies() -> st.SearchStrategy[bytes]:
    """Of all the sizes at which something changes."""
    sizes = st.sampled_from(SIZES * 2 + LARGE_SIZES)
    return st.builds(make_body, st.integers(0, 15_000), sizes)


def metadata() -> st.SearchStrategy[dict[str, str]]:
    """User metadata as on the wire: values are bytes, latin-1 decoded."""
    characters = st.characters(
        codec="utf-8", min_codepoint=32, exclude_characters="\x7f"
    )
    texts = st.text(characters)
    values = texts.map(lambda text: text.encode()[:100].decode("latin-1"))
    names = st.sampled_from(["a", "mtime", "long-name", "x.y_z"])
    return st.dictionaries(
        names.map("x-amz-meta-".__add__),
        # http.client takes some of these for line ends, and some for blanks.
        values.filter(lambda text: not any("\x7f" <= c <= "\xa0" for c in text)).map(
            str.strip
        ),
        max_size=3,
    )


def kept_headers() -> st.SearchStrategy[dict[str, str]]:
    """Standard headers that come back as they were sent."""
    return st.fixed_dictionaries(
        {},
        optional={
            "content-type": st.sampled_from(["text/plain; charset=utf-8", "image/png"]),
            "cache-control": st.just("no-cache"),
            "content-disposition": st.just('attachment; filename="a b.txt"'),
            "content-encoding": st.sampled_from(["gzip", "br"]),
            "content-language": st.just("de-AT"),
            "expires": st.just("Wed, 21 Oct 2015 07:28:00 GMT"),
        },
    )


def right_digests(body: bytes) -> dict[str, str]:
    """Every digest that a client may send, by header."""
    return {
        "content-md5": _base64(hashlib.md5(body).digest()),
        "x-amz-checksum-sha256": _base64(hashlib.sha256(body).digest()),
        "x-amz-checksum-crc32": _base64(struct.pack(">I", zlib.crc32(body))),
        "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
    }


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def expected_list(
    model: Mapping[str, Held], prefix: str, delimiter: str, after: str
) -> list[tuple[str, tuple[str, int] | None]]:
    """
    A whole listing: keys with ETag and size, common prefixes with None, in byte order.
    """
    found: dict[str, tuple[str, int] | None] = {}
    for key, held in model.items():
        if not key.startswith(prefix):
            continue
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        if cut >= 0:
            found[key[: cut + len(delimiter)]] = None
        else:
            found[key] = (held.etag, len(held.body))
    return sorted(
        (entry for entry in found.items() if entry[0].encode() > after.encode()),
        key=lambda entry: entry[0].encode(),
    )
