"""
Reading the configuration again while the server runs.

All or nothing: every applier first prepares (loads a certificate, registers a bucket),
and only when none of them objects does each act. A file that is wrong changes nothing.
Requests at work go on with what they came in with.
"""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Final

import attrs
from attrs import define, frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from s3proxy.config_model import Config
from s3proxy.errors import ConfigError, StoreError

#: Puts what was prepared in force; it should have nothing left to fail at. What takes a
#: while is begun at once, and its end can be awaited.
Act = Callable[[], Awaitable[None] | None]

NO_FILE: Final = (
    "SIGHUP: nothing to reload, since s3proxy was started without a configuration file"
)

_log = Logger()


@frozen
class Applier:
    """
    Something that can follow a change.

    :ivar settings: Paths of the keys that it follows, with all below them: ``auth``,
        ``server.virtual_bucket``.
    :ivar prepare: Called with every new configuration, changed or not. It raises
        ConfigError or StoreError where it cannot be put in force.
    """

    settings: tuple[str, ...]
    prepare: Callable[[Config], Awaitable[Act]]

    @classmethod
    def of(cls, settings: tuple[str, ...], apply: Callable[[Config], None]) -> Applier:
        """One that has nothing to prepare."""

        async def prepare(config: Config) -> Act:
            return lambda: apply(config)

        return cls(settings, prepare)


@define(eq=False)
class Reloader:
    """
    :ivar started: The configuration of the start, which what no applier follows keeps
        to until the next one.
    :ivar read: Reads the new one; None where there is no file.
    """

    _started: Config
    _read: Callable[[], Config] | None
    _appliers: Sequence[Applier]
    _at_work: bool = False
    _again: bool = False
    _log = Logger()

    def soon(self) -> None:
        """Reload; again after one that is at work, which may have read too early."""
        if self._at_work:
            self._again = True
            return
        self._at_work = True
        Deferred.fromCoroutine(self._run())

    async def _run(self) -> None:
        try:
            while True:
                self._again = False
                await self.reload()
                if not self._again:
                    return
        finally:
            self._at_work = False

    async def reload(self) -> bool:
        """Read, prepare, act; the log says what came of it. Whether it is in force."""
        if self._read is None:
            self._log.warn(NO_FILE)
            return False
        try:
            config = self._read()
            act = await prepare_all(self._appliers, config)
        except (ConfigError, StoreError) as why:
            for line in str(why).splitlines():
                self._log.error("reload refused: {line}", line=line)
        except Exception:
            self._log.failure("reload refused")
        else:
            await act()
            self._log.info("configuration reloaded")
            self._tell_the_rest(config)
            return True
        self._log.error("the configuration of before stays in force")
        return False

    def _tell_the_rest(self, config: Config) -> None:
        followed = [path for each in self._appliers for path in each.settings]
        waiting = [
            path
            for path in changes(self._started, config)
            if not any(f"{path}.".startswith(f"{each}.") for each in followed)
        ]
        if waiting:
            self._log.warn(
                "changed, and waiting for a restart: {paths}", paths=", ".join(waiting)
            )


async def prepare_all(
    appliers: Sequence[Applier], config: Config
) -> Callable[[], Awaitable[None]]:
    """
    Have all get *config* ready; returns what puts it in force, all of it.

    :raises ConfigError: One of them objects; so may StoreError.
    """
    acts = [await each.prepare(config) for each in appliers]

    async def act() -> None:
        for each in acts:
            try:
                done = each()
                if done is not None:
                    await done
            except Exception:
                # The others go on: half of it in force would be worse than most.
                _log.failure("a part of the reload failed")

    return act


def in_force(old: Config, new: Config, followed: Sequence[str]) -> Config:
    """
    *old*, with what *new* has for the *followed* keys: what counts after a reload.

    A section that comes or goes (``server.tls``) waits for a start.
    """
    kept: Any = old
    for path in followed:
        kept = _with(kept, new, path.split("."))
    result: Config = kept
    return result


def _with(old: Any, new: Any, names: Sequence[str]) -> Any:
    name, *rest = names
    if not hasattr(old, name):
        name += "_seconds"
    value, other = getattr(old, name), getattr(new, name)
    if (value is None) != (other is None):
        return old
    return attrs.evolve(old, **{name: _with(value, other, rest) if rest else other})


def changes(old: Config, new: Config) -> list[str]:
    """Paths of the keys that differ: a list, or a section that came or went, whole."""
    return list(_changes(old, new, ""))


def _changes(old: object, new: object, path: str) -> Iterator[str]:
    if old == new:
        return
    if type(old) is not type(new) or not attrs.has(type(old)):
        yield path
        return
    for field in attrs.fields(type(old)):  # type: ignore[arg-type]
        # Units are in the names of values, not of keys.
        key = field.name.removesuffix("_seconds")
        yield from _changes(
            getattr(old, field.name),
            getattr(new, field.name),
            f"{path}.{key}" if path else key,
        )


def on_hang_up(reactor: Any, call: Callable[[], None]) -> None:
    """Have the reactor call *call* at every SIGHUP, from now on."""
    signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(call))
