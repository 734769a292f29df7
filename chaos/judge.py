"""
The judge of a history: pure, so that a saved one can be judged again.

Every key is a register (:mod:`chaos.register`). A LIST is a look at every key that it
could have shown; a copy is a look at its source and a write of its target.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence

from attrs import define, field, frozen

from chaos.history import Event, closings, keys_of
from chaos.register import Failure, Op, Sees, TooHard, check


@frozen
class Violation:
    """
    What must not be.

    :ivar kind: mixed, phantom, lost, resurrected, disorder, unreadable, undecided, …
    :ivar words: What, where and when.
    """

    kind: str
    key: str
    words: str


@define
class _Written:
    """What is known of the writes of one key, by their numbers."""

    content: dict[int, int | None] = field(factory=dict)
    etag: dict[int, str] = field(factory=dict)

    def with_etag(self, etag: str) -> set[int]:
        """Those that have it for certain."""
        return {number for number, each in self.etag.items() if each == etag}

    def maybe_with_etag(self, etag: str) -> set[int]:
        """And those of which nobody knows."""
        return self.with_etag(etag) | {n for n, each in self.etag.items() if not each}

    def with_content(self, content: int) -> set[int]:
        """Those that have it, or may."""
        return {n for n, each in self.content.items() if each in (content, None)}


def judge(events: Sequence[Event]) -> list[Violation]:
    """Everything that is wrong with a history, in the order of the keys."""
    written = _writes(events)
    found = _wrong_bytes(events, written)
    histories = _per_key(events, written)
    for key in keys_of(events):
        try:
            failure = check(histories[key])
        except TooHard as why:
            found.append(Violation("undecided", key, f"too hard to judge: {why}"))
            continue
        if failure is not None:
            found.append(_explain(key, failure))
    return found


def _writes(events: Iterable[Event]) -> dict[str, _Written]:
    written: dict[str, _Written] = defaultdict(_Written)
    for each in events:
        if each.kind in ("put", "copy", "complete") and not each.is_refused:
            assert each.write is not None
            of_key = written[each.key]
            of_key.etag[each.write] = each.etag
            of_key.content[each.write] = None if each.kind == "copy" else each.content
    # What a copy got is seen by whoever reads it.
    for each in events:
        if each.kind == "get" and each.write in (numbers := written[each.key].content):
            if numbers[each.write] is None:
                numbers[each.write] = each.content
            if not written[each.key].etag[each.write]:
                written[each.key].etag[each.write] = each.etag
    return written


def _wrong_bytes(
    events: Iterable[Event], written: dict[str, _Written]
) -> list[Violation]:
    """Of every read: bytes of two writes, or of a write that never was."""
    sizes = {
        each.write: each.size for each in events if each.kind in ("put", "complete")
    }
    found = []
    for each in events:
        if each.problem:
            found.append(Violation("mixed", each.key, f"{each}: {each.problem}"))
        if each.kind != "get" or each.write is None:
            continue
        known = written[each.key]
        if each.write not in known.content:
            words = f"{each}: nobody wrote that there, or it was refused"
            found.append(Violation("phantom", each.key, words))
            continue
        wanted = known.content[each.write]
        if each.content is None or wanted is None:
            continue
        if each.content != wanted:
            words = f"{each}: the body is write {each.content}'s, and not {wanted}'s"
            found.append(Violation("mixed", each.key, words))
        elif each.size is not None and each.size != (
            sizes.get(each.content) if each.content else 0
        ):
            words = f"{each}: {each.size} bytes, of {sizes.get(each.content)}"
            found.append(Violation("mixed", each.key, words))
    return found


def _per_key(
    events: Sequence[Event], written: dict[str, _Written]
) -> dict[str, list[Op]]:
    histories: dict[str, list[Op]] = defaultdict(list)
    closing = closings(events)
    keys = list(keys_of(events))
    for each in events:
        if each.kind == "list":
            for key in keys if each.is_done else ():
                if key.startswith(each.key):
                    _add(histories[key], each, _listed(each, key, written[key]))
        elif each.kind == "get":
            if each.is_done or each.status == 404:
                _add(histories[each.key], each, Sees.only(each.write))
        elif each.kind != "settled":
            over = closing[bisect_left(closing, each.begin)]
            _add_write(histories[each.key], each, over, written[each.key])
            if each.source:
                source = _source(each, written)
                if source is not None:
                    _add(histories[each.source], each, source)
    return histories


def _add(history: list[Op], event: Event, sees: Sees) -> None:
    assert event.end is not None
    history.append(Op(event.begin, event.end, sees, words=str(event)))


def _listed(event: Event, key: str, written: _Written) -> Sees:
    if key not in event.listed:
        return Sees.only(None)
    return Sees.only(*written.maybe_with_etag(event.listed[key]))


def _source(event: Event, written: dict[str, _Written]) -> Sees | None:
    """What a copy saw of its source."""
    if event.status == 404 and not event.condition:
        return Sees.only(None)
    if not event.is_done:
        return None
    content = written[event.key].content.get(event.write or 0)
    if content is not None:
        return Sees.only(*written[event.source].with_content(content))
    return Sees.none_of(None)


def _add_write(history: list[Op], event: Event, over: float, written: _Written) -> None:
    """A write, or what its refusal says."""
    is_delete = event.kind == "delete"
    sees = None
    if event.condition == "absent":
        sees = Sees.only(None)
    elif event.condition:
        sees = Sees.only(*written.maybe_with_etag(event.condition))
    if not event.is_refused:
        end = event.end if event.is_done else over
        assert end is not None
        history.append(
            Op(
                event.begin,
                end,
                sees,
                writes=True,
                value=None if is_delete else event.write,
                is_sure=event.is_done,
                words=str(event),
            )
        )
    elif event.status == 412 and event.condition:
        unmet: set[int | None] = {None}
        if event.condition != "absent":
            unmet = set(written.with_etag(event.condition))
        _add(history, event, Sees.none_of(*unmet))
    elif event.status == 404 and event.condition and not event.source:
        _add(history, event, Sees.only(None))


def _explain(key: str, failure: Failure) -> Violation:
    """What kind of disorder it is, as far as that can be told."""
    looks = [op.sees for op in failure.stuck if op.sees is not None]
    nothing = [look.holds(None) for look in looks]
    kind = "disorder"
    if looks and None not in failure.states and all(nothing):
        kind = "lost"
    elif looks and failure.states == (None,) and not any(nothing):
        kind = "resurrected"
    could = ", ".join(
        "nothing" if state is None else f"write {state}" for state in failure.states
    )
    lines = [f"after {failure.done} operations the key can only hold {could}; then:"]
    lines += [f"    {op.words}" for op in failure.stuck[:12]]
    return Violation(kind, key, "\n".join(lines))
