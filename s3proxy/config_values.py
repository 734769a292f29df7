"""
Converters of single configuration values.

Each takes the value as YAML (and expansion) left it and returns what the configuration
holds, or raises :class:`~s3proxy.config_parse.Unfit` with what it wants. Numbers and
truth values are taken from text only where the text came from the environment.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable
from typing import Final, Literal, NoReturn
from urllib.parse import urlsplit

from s3proxy.config_parse import Expanded, Unfit

#: The largest number that the ledger's ``bigint`` columns hold.
MAX_BYTES: Final = 2**63 - 1
#: Longer durations are slips of the pen (or overflow a timer).
MAX_SECONDS: Final = 366 * 86400.0

ToText = Callable[[object], str]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_DURATION = re.compile(r"(?:[0-9]{1,12}(?:\.[0-9]+)?(?:ms|s|m|h|d))+")
_DURATION_STEP = re.compile(r"([0-9.]+)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?", re.IGNORECASE)
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.IGNORECASE)
_BUCKET = re.compile(r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_LEGACY_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def _unfit(want: str) -> NoReturn:
    raise Unfit(f"want {want}")


def text(value: object) -> str:
    """Text that is not empty and has no control characters (a newline at its end)."""
    if not isinstance(value, str) or not value or _CONTROL.search(value):
        _unfit("text in quotes, not empty, without control characters or line ends")
    return str(value)


def trimmed(value: object) -> str:
    """Like :func:`text`, without a blank at either end."""
    result = text(value)
    if result != result.strip():
        _unfit("text without blanks at its ends")
    return result


def header_value(value: object) -> str:
    """Text that an HTTP header can carry unchanged."""
    result = trimmed(value)
    if not re.fullmatch(r"[ -~]+", result):
        _unfit("text in ASCII")
    return result


def access_key(value: object) -> str:
    """An access key id: it stands in an ``Authorization`` header before a ``/``."""
    result = trimmed(value)
    if not re.fullmatch(r"[!-~]+", result) or set(result) & set("/,"):
        _unfit("visible ASCII without '/' and ','")
    return result


def login_name(value: object) -> str:
    """Who logs in by HTTP's Basic authentication (RFC 7617): no colon."""
    result = trimmed(value)
    if ":" in result:
        _unfit("text without ':'")
    return result


def password(value: object) -> str:
    """What somebody types: eight characters at least."""
    result = trimmed(value)
    if len(result) < 8:
        _unfit("at least 8 characters")
    return result


def word(value: object) -> str:
    """A short name: letters, digits, ``.``, ``_``, ``-``."""
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        _unfit("1 to 63 letters, digits, '.', '_' or '-', a letter or digit first")
    return str(value)


def boolean(value: object) -> bool:
    """True or false; the words, where they come from the environment."""
    if isinstance(value, bool):
        return value
    if isinstance(value, Expanded) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    _unfit("true or false")


def whole(
    want: str = "a whole number", low: int = 0, high: int = MAX_BYTES
) -> Callable[[object], int]:
    """A converter to whole numbers from *low* to *high*."""

    def convert(value: object) -> int:
        if isinstance(value, Expanded) and re.fullmatch(r"-?[0-9]{1,19}", value):
            value = int(value)
        if type(value) is not int or not low <= value <= high:
            _unfit(want)
        return value

    return convert


port = whole("a port number from 1 to 65535", 1, 65535)


def number(want: str, low: float, high: float) -> Callable[[object], float]:
    """A converter to numbers from *low* to *high*."""

    def convert(value: object) -> float:
        if isinstance(value, Expanded):
            try:
                value = float(value)
            except ValueError:
                _unfit(want)
        if type(value) not in (int, float) or not low <= value <= high:  # type: ignore[operator]
            _unfit(want)
        return float(value)  # type: ignore[arg-type]

    return convert


def duration(*, zero: bool = False) -> Callable[[object], float]:
    """A converter to seconds of ``500ms``, ``60s``, ``1h30m``, or a number of them."""

    def convert(value: object) -> float:
        seconds = math.nan
        if type(value) in (int, float):
            seconds = float(value)  # type: ignore[arg-type]
        elif isinstance(value, str):
            if _DURATION.fullmatch(value):
                steps = _DURATION_STEP.findall(value)
                seconds = sum(float(count) * _UNITS[unit] for count, unit in steps)
            elif re.fullmatch(r"[0-9]{1,12}(?:\.[0-9]+)?", value):
                seconds = float(value)
        if not 0 <= seconds <= MAX_SECONDS or (seconds == 0 and not zero):
            least = "of 0 or more" if zero else "greater than 0"
            _unfit(f"a duration {least} such as 500ms, 60s, 10m or 1h, or seconds")
        return seconds

    return convert


def one_of(*choices: str) -> Callable[[object], str]:
    """A converter to one of *choices*."""

    def convert(value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            _unfit(f"one of {', '.join(choices)}")
        return str(value)

    return convert


def strategy(value: object) -> Literal["pack", "spread"]:
    """``pack`` or ``spread``."""
    return "spread" if one_of("pack", "spread")(value) == "spread" else "pack"


def path(value: object) -> str:
    """A path of a file or directory. ``~`` is not expanded, so it is refused."""
    result = text(value)
    if result.startswith("~"):
        _unfit("a path without ~ (${HOME} is expanded)")
    return result


def address(value: object) -> str:
    """``host:port``, ``:port`` (every IPv4 address) or ``[IPv6]:port``."""
    try:
        split_address(value if isinstance(value, str) else "")
    except ValueError:
        _unfit('"host:port", ":port" or "[IPv6]:port", the port from 0 to 65535')
    return str(value)


def split_address(value: str) -> tuple[str, int]:
    """
    Host (``""`` for every one, IPv6 without brackets) and port of an address.

    :raises ValueError: It has not that form.
    """
    host, colon, digits = value.rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", digits) or int(digits) > 65535:
        raise ValueError("no port")
    if host.startswith("[") and host.endswith("]"):
        return str(ipaddress.IPv6Address(host[1:-1])), int(digits)
    if host and not _HOST.fullmatch(host):
        raise ValueError("no host")
    return host, int(digits)


def target(value: object) -> str:
    """``host:port`` of a server to connect to."""
    try:
        host, number_ = split_address(value if isinstance(value, str) else "")
    except ValueError:
        host, number_ = "", 0
    if not host or not number_:
        _unfit('"host:port" of a server')
    return str(value)


def database_hosts(value: object) -> str:
    """Hosts, addresses or socket directories, parted by commas, as libpq takes them."""
    hosts = (
        [host.strip() for host in value.split(",")] if isinstance(value, str) else []
    )
    if not hosts or not all(_database_host(host) for host in hosts):
        _unfit("host names, addresses or socket directories, parted by commas")
    return ",".join(hosts)


def _database_host(host: str) -> bool:
    if host.startswith("/"):
        return not _CONTROL.search(host)
    if ":" in host:
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            return False
        return True
    return bool(_HOST.fullmatch(host))


def domains(value: object) -> tuple[str, ...]:
    """One name of this server, or a list of them; lower-case."""
    names = [value] if isinstance(value, str) else value
    if (
        not isinstance(names, list)
        or not names
        or not all(isinstance(name, str) and _is_domain(name) for name in names)
        or len({name.lower() for name in names}) < len(names)
    ):
        _unfit(
            "the name of this server, such as s3.example.com, without a port, or a "
            "list of such names"
        )
    return tuple(name.lower() for name in names)


def _is_domain(name: str) -> bool:
    """A host's name; an address can have no buckets below it."""
    return bool(_DOMAIN.fullmatch(name)) and not name.rpartition(".")[2].isdecimal()


def bucket_name(value: object) -> str:
    """A bucket name by today's rules of S3 (it is a DNS name)."""
    if not isinstance(value, str) or not is_dns_bucket(value):
        _unfit("a bucket name: 3 to 63 of a-z, 0-9, '-' and '.', no address")
    return str(value)


def key_prefix(value: object) -> str:
    """The beginning of keys, maybe "" for all of them."""
    want = "text of at most 1024 bytes of UTF-8, without control characters"
    if not isinstance(value, str) or _CONTROL.search(value):
        _unfit(want)
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        size = MAX_BYTES
    if size > 1024:
        _unfit(want)
    return str(value)


def legacy_bucket_name(value: object) -> str:
    """A bucket name as some providers still give them, good for path style only."""
    if not isinstance(value, str) or not _LEGACY_BUCKET.fullmatch(value):
        _unfit("a bucket name: letters, digits, '-', '.' and '_', at most 255")
    return str(value)


def is_dns_bucket(name: str) -> bool:
    """Whether *name* follows today's rules, and so can be part of a host name."""
    dotted_digits = re.fullmatch(r"[0-9]+(?:\.[0-9]+){3}", name)
    return bool(_BUCKET.fullmatch(name)) and not dotted_digits


def endpoint(value: object) -> str:
    """
    ``http://`` or ``https://`` with host and maybe port.

    :returns: In lower case, without a default port and without a ``/`` at its end.
    """
    want = "a URL of scheme, host and port, such as http://127.0.0.1:9000"
    try:
        parts = urlsplit(value if isinstance(value, str) else "")
        host, port_ = parts.hostname or "", parts.port
        literal = ":" in host and str(ipaddress.IPv6Address(host))
    except ValueError:
        _unfit(want)
    if (
        parts.scheme not in ("http", "https")
        or not (literal or _HOST.fullmatch(host))
        or port_ == 0
        or parts.path not in ("", "/")
        or set(str(value)) & set("@?#\\ \t\r\n")
    ):
        _unfit(want)
    default = {"http": 80, "https": 443}[parts.scheme]
    suffix = "" if port_ in (None, default) else f":{port_}"
    return f"{parts.scheme}://{f'[{literal}]' if literal else host}{suffix}"


def metrics_path(value: object) -> str:
    """An absolute URL path of its own."""
    if (
        not isinstance(value, str)
        or not re.fullmatch(r"(?:/[A-Za-z0-9._-]+)+", value)
        or value == "/health"
    ):
        _unfit("a path such as /metrics, other than /health")
    return str(value)


def networks(value: object) -> tuple[Network, ...]:
    """A list of addresses and networks (``10.0.0.0/8``, ``::1``)."""
    try:
        if not isinstance(value, list) or not all(type(x) is str for x in value):
            raise ValueError
        return tuple(ipaddress.ip_network(each) for each in value)
    except ValueError:
        _unfit('a list of addresses and networks, such as ["10.0.0.0/8", "::1"]')
