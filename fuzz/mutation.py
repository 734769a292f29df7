"""Changes right bytes a little, or a lot."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

#: How many changes are made at once: mostly few, since many never get far.
_CHANGES = (1, 1, 1, 1, 2, 2, 3, 4, 8)
_SPAN = 24
# What parsers trip over.
_NUMBERS = (
    *(b"0", b"-1", b"1", b"00", b"+1", b"1e9", b"9" * 40, b"0x10", b"ffffffffffffffff"),
    *(b"2147483648", b"18446744073709551616", "\u0661".encode(), b"\xc2\xb2"),
)
_ODD = (
    *(b"%00", b"%", b"%zz", b"%2F", b"%252F", b"%FF", b"\0", b"\r\n", b"\n", b"\r"),
    *(b"\x85", b"\xe2\x80\xa8", b"\xff", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"),
    *(b"=", b"&", b"/", b"//", b"..", b";", b",", b":", b"+", b" ", b"\t", b'"', b"?"),
)


def mutate(
    random: Random, seeds: Sequence[bytes], number: int, tokens: Sequence[bytes]
) -> bytes:
    """
    One input.

    :param number: Of the seed to begin with; others may be spliced in.
    :param tokens: Words of the language, beside odd characters and numbers.
    """
    data = bytearray(seeds[number])
    for _ in range(random.choice(_CHANGES)):
        at = random.randrange(len(data) + 1)
        end = min(len(data), at + random.randrange(_SPAN))
        match random.randrange(9):
            case 0 if at < len(data):
                data[at] ^= 1 << random.randrange(8)
            case 1 if at < len(data):
                data[at] = random.randrange(256)
            case 2:
                del data[at:end]
            case 3:
                data[at:at] = data[at:end]
            case 4:
                data[at:end] = _word(random, tokens)
            case 5:
                data[at:at] = _word(random, tokens)
            case 6:
                data[at:at] = random.randbytes(random.randrange(1, 9))
            case 7 if random.random() < 0.3:
                del data[at:]
            case _:
                other = seeds[random.randrange(len(seeds))]
                cut = random.randrange(len(other) + 1)
                data[at:end] = other[cut : cut + _SPAN]
    return bytes(data)


def _word(random: Random, tokens: Sequence[bytes]) -> bytes:
    kind = random.random()
    if tokens and kind < 0.5:
        return random.choice(tokens)
    return random.choice(_NUMBERS if kind < 0.75 else _ODD)
