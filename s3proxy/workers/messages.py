"""
What the master and its workers tell each other, and how it crosses a pipe.

To a worker go pickles, each after its length in four bytes: a configuration is a value
of Python, and nobody but the master holds the other end. From a worker, which talks to
strangers, come lines of JSON.
"""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable, Mapping
from typing import Final

from attrs import define, field, frozen

from s3proxy.config_model import Config

#: File descriptors of a worker: what it is told, what it answers, what it logs. Beside
#: them are standard output and error, the shared memory of the rate limit, and
#: listening sockets from the last number on.
TOLD, ANSWERS, EVENTS, RATES, FIRST_SOCKET = 0, 3, 4, 5, 6

#: A line that is longer is cut: no worker must take the master's memory.
MAX_LINE_BYTES: Final = 1024 * 1024

_LENGTH = struct.Struct("!I")


@frozen
class Socket:
    """A listening socket that a worker inherits."""

    descriptor: int
    family: int


@frozen
class Start:
    """
    The first message: all that a worker has to know.

    :ivar number: Of this worker, from 1.
    :ivar config: Its own share of the configuration.
    :ivar accept_moved: Backends whose new place the operator vouches for.
    :ivar sockets: By the key of their address.
    :ivar rates: The descriptor of the shared account of clients' rates.
    """

    number: int
    config: Config
    accept_moved: frozenset[str]
    sockets: Mapping[str, Socket]
    rates: int


@frozen
class Prepare:
    """Get another configuration ready, and answer with what is wrong with it."""

    serial: int
    config: Config


@frozen
class Act:
    """Put in force what was got ready."""

    serial: int


@frozen
class Drop:
    """Forget what was got ready."""

    serial: int


@frozen
class Stop:
    """Finish the requests at work, and end."""


Order = Start | Prepare | Act | Drop | Stop


@frozen
class Ready:
    """
    It serves.

    :ivar settings: Paths of the keys that a reload puts in force.
    """

    settings: tuple[str, ...]


@frozen
class Prepared:
    """:ivar problems: What is wrong, a line each; empty = it may be put in force."""

    serial: int
    problems: tuple[str, ...]


@frozen
class Acted:
    """It is in force."""

    serial: int


Answer = Ready | Prepared | Acted


def pack(order: Order) -> bytes:
    """The bytes of an order."""
    data = pickle.dumps(order)
    return _LENGTH.pack(len(data)) + data


def read_first(read: Callable[[int], bytes]) -> Order | None:
    """
    Wait for one order.

    :param read: Reads so many bytes, fewer only at the end.
    :returns: None where the other end is closed.
    """
    head = read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    data = read(length)
    return _unpickle(data) if len(data) == length else None


@define
class Orders:
    """Takes the bytes of orders as they come."""

    _data: bytes = b""

    def feed(self, data: bytes) -> list[Order]:
        """The orders that are complete now."""
        self._data += data
        found = []
        while len(self._data) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._data)
            end = _LENGTH.size + length
            if len(self._data) < end:
                break
            found.append(_unpickle(self._data[_LENGTH.size : end]))
            self._data = self._data[end:]
        return found


def _unpickle(data: bytes) -> Order:
    order: Order = pickle.loads(data)
    return order


def answer_line(answer: Answer) -> bytes:
    """One line, with its end."""
    match answer:
        case Ready(settings):
            document: dict[str, object] = {"ready": settings}
        case Prepared(serial, problems):
            document = {"prepared": serial, "problems": problems}
        case Acted(serial):
            document = {"acted": serial}
    return json.dumps(document).encode() + b"\n"


def read_answer(line: bytes) -> Answer:
    """
    The answer in a line.

    :raises ValueError: There is none.
    """
    match json.loads(line):
        case {"ready": [*settings]}:
            return Ready(tuple(map(str, settings)))
        case {"prepared": int(serial), "problems": [*problems]}:
            return Prepared(serial, tuple(map(str, problems)))
        case {"acted": int(serial)}:
            return Acted(serial)
    raise ValueError(f"no answer: {line[:200]!r}")


@define
class Lines:
    """Takes bytes as they come, and gives lines."""

    _limit: int = MAX_LINE_BYTES
    _data: bytearray = field(factory=bytearray)

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are complete now, without their ends; a long one in pieces."""
        self._data += data
        *lines, rest = bytes(self._data).split(b"\n")
        self._data = bytearray(rest)
        if len(rest) > self._limit:
            lines.append(self.rest())
        return lines

    def rest(self) -> bytes:
        """What has come without an end; it is forgotten."""
        rest, self._data = bytes(self._data), bytearray()
        return rest
