"""The signatures inside a signed aws-chunked body: each signs the one before it."""

from __future__ import annotations

import hashlib
import hmac

from attrs import field, frozen

from s3proxy.errors import SignatureDoesNotMatch
from s3proxy.s3.canonical import ALGORITHM, EMPTY_SHA256


@frozen
class StreamingSeed:
    """
    Where the chain begins: the verified signature of the request's head.

    :ivar signing_key: The secret's, for this scope.
    :ivar timestamp: As it was signed.
    :ivar scope: ``date/region/service/aws4_request``.
    :ivar signature: Of the head: 64 lower-case hex digits.
    """

    signing_key: bytes = field(repr=False)
    timestamp: str
    scope: str
    signature: str


class ChunkChain:
    """Verifies the signatures of one body, in order."""

    def __init__(self, seed: StreamingSeed) -> None:
        self._seed = seed
        self._previous = seed.signature

    def check_chunk(self, sha256: str, sent: str) -> None:
        """
        Verify the next chunk's signature.

        :param sha256: Of the chunk's data, in hex.
        :raises SignatureDoesNotMatch: It is another (403).
        """
        self._check(f"{ALGORITHM}-PAYLOAD", f"{EMPTY_SHA256}\n{sha256}", sent)

    def check_trailer(self, lines: bytes, sent: str) -> None:
        """
        Verify the signature after the last chunk.

        :param lines: ``name:value`` and one LF for each field.
        :raises SignatureDoesNotMatch: It is another (403).
        """
        self._check(f"{ALGORITHM}-TRAILER", hashlib.sha256(lines).hexdigest(), sent)

    def _check(self, kind: str, rest: str, sent: str) -> None:
        seed = self._seed
        to_sign = "\n".join([kind, seed.timestamp, seed.scope, self._previous, rest])
        computed = hmac.digest(seed.signing_key, to_sign.encode(), "sha256").hex()
        if not hmac.compare_digest(computed.encode(), sent.encode("latin-1")):
            raise SignatureDoesNotMatch(fields={"StringToSign": to_sign})
        self._previous = computed
