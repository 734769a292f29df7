"""
Copies that backends make by themselves, so that the bytes do not come through here.

Where a copy's claim is on a backend that has the source's bytes, that backend is asked;
wherever it cannot, the bytes are streamed as those of any body.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import define, field, frozen
from twisted.logger import Logger

from s3proxy.errors import BackendError, BackendMismatch, BackendRefused
from s3proxy.manager.pinning import Pin
from s3proxy.manager.ports import Backend, Stored
from s3proxy.model import Copy, Part

#: S3's limit for one CopyObject; and a PUT of no bytes is as fast as a copy of none.
MAX_COPY_BYTES = 5 * 1024**3

#: For so long a backend that refused a copy, or made a wrong one, is asked for none.
REFUSED_SECONDS = 600.0

#: Likewise, one that failed in a way that may pass.
FAILED_SECONDS = 30.0


@frozen
class WholePart:
    """
    What a backend may copy: bytes that are one part of an object, whole.

    :ivar pin: Of that object; not started.
    """

    part: Part
    pin: Pin


@define(eq=False)
class BackendCopies:
    """Which backends can, and doing it."""

    _backends: Mapping[str, Backend]
    _monotonic: Callable[[], float]
    _not_before: dict[str, float] = field(factory=dict)
    _log = Logger()

    def source(self, whole: WholePart, backend: str) -> Copy | None:
        """The copy that *backend* has and may be asked to copy; None: stream."""
        if not 0 < whole.part.size_bytes <= MAX_COPY_BYTES:
            return None
        # Of what sync took in, the MD5 may be unknown; a stream finds it out.
        if not whole.part.md5:
            return None
        if self._monotonic() < self._not_before.get(backend, 0.0):
            return None
        for copy in whole.part.copies:
            if copy.backend_name == backend and not copy.is_quarantined:
                return copy
        return None

    async def make(
        self, whole: WholePart, source: Copy, target: Copy, headers: dict[str, str]
    ) -> Stored:
        """
        Make it, verified.

        :param target: On the backend of *source*.
        :raises BackendError: It is not made; that backend is not asked for a while.
        """
        backend = self._backends[target.backend_name]
        whole.pin.start()
        try:
            return await backend.copy(source, target, headers, md5=whole.part.md5)
        except BackendError as why:
            is_refused = isinstance(why, BackendRefused | BackendMismatch)
            seconds = REFUSED_SECONDS if is_refused else FAILED_SECONDS
            self._not_before[backend.name] = self._monotonic() + seconds
            self._log.warn(
                "{why}; copies there are streamed for {seconds:g} s",
                why=why,
                seconds=seconds,
            )
            raise
        finally:
            whole.pin.stop()
