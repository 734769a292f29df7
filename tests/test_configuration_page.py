"""``docs/configuration.md`` is the reader's and the model's, key by key."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import attrs
import pytest

import s3proxy.front
from tools.configuration import HEAD, PAGE, page
from tools.configuration_keys import Key, keys, reloadable, settings_of

KNOWN = {key.path: key for key in keys()}
COUNT = "a whole number of bytes"
NEW = Key("server.new", COUNT, False, 65536, "What it is.", True)


def row(text: str, path: str) -> list[str]:
    """The cells of a key's row."""
    [line] = re.findall(rf"^\| `{re.escape(path)}` \|.*", text, re.MULTILINE)
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_the_page_is_up_to_date() -> None:
    text = PAGE.read_text("utf-8")
    assert text == page(text, KNOWN.values()), (
        "docs/configuration.md is not what the configuration's reader has: run "
        "`make generate` (or python -m tools.configuration), and look at what changes"
    )


def test_what_the_reader_says() -> None:
    """Its words, the model's defaults, what must be there, what a reload changes."""
    requests = KNOWN["server.max_requests"]
    assert requests == Key(
        "server.max_requests",
        "a whole number from 1 to 1000000",
        False,
        1000,
        "At work at once.",
        True,
    )
    assert KNOWN["database.host"].required
    assert KNOWN["server.tls.key_file"].required
    assert KNOWN["ledger.lease"].default == 600.0
    assert KNOWN["credentials[].buckets.name.mode"].default is attrs.NOTHING
    assert KNOWN["credentials[].buckets.name.mode"].reloadable
    assert not KNOWN["server.listen_addr"].reloadable
    assert not KNOWN["backends[].name"].reloadable


def test_what_reloads_is_a_key_or_a_section() -> None:
    """No Applier follows a path that the reader does not have."""
    for path in reloadable():
        assert any(f"{key}.".replace("[]", "").startswith(f"{path}.") for key in KNOWN)


@pytest.mark.parametrize(
    ("call", "found"),
    [
        ('Applier(("auth", "server.tls"), prepare)', ("auth", "server.tls")),
        ("Applier(_FOLLOWED, prepare)", ("rate_limit",)),
        ("Applier.of(self.crew.settings, apply)", ()),
    ],
)
def test_what_an_applier_follows(call: str, found: tuple[str, ...]) -> None:
    """As it is written in ``s3proxy/front.py``, whose constant has ``rate_limit``."""
    parsed = ast.parse(call, mode="eval").body
    assert isinstance(parsed, ast.Call)
    followed = settings_of(Path(s3proxy.front.__file__), parsed)
    assert set(followed) >= set(found)
    assert bool(followed) is bool(found)


def test_an_applier_that_cannot_be_read_is_an_error() -> None:
    parsed = ast.parse("Applier(settings(), prepare)", mode="eval").body
    assert isinstance(parsed, ast.Call)
    with pytest.raises(LookupError, match="must be a tuple in the call"):
        settings_of(Path(s3proxy.front.__file__), parsed)


def test_a_new_key_has_a_row_beside_its_siblings() -> None:
    text = page(PAGE.read_text("utf-8"), [*KNOWN.values(), NEW])
    cells = ["`server.new`", "What it is.", COUNT, "65536 (64 KiB)"]
    assert row(text, NEW.path) == [*cells, "at SIGHUP"]
    assert text.index("## Server") < text.index(NEW.path) < text.index("## Auth")
    assert page(text, [*KNOWN.values(), NEW]) == text


def test_a_new_section_has_a_table() -> None:
    new = attrs.evolve(NEW, path="new_things.size", reloadable=False)
    text = page(PAGE.read_text("utf-8"), [*KNOWN.values(), new])
    assert f"## New things\n\n{HEAD}| `new_things.size` | What it is. |" in text
    assert page(text, [*KNOWN.values(), new]) == text


def test_a_row_by_hand_keeps_its_words() -> None:
    """Three cells, as a person writes them; a default of the model's stands above."""
    by_hand = "## Server\n\n| key | meaning | without it |\n|---|---|---|\n{}"
    text = by_hand.format("| `server.new` | My words, `a\\|b`. | nothing |\n")
    for default, shown in ((None, "nothing"), (65536, "65536 (64 KiB)")):
        made = page(text, [attrs.evolve(NEW, default=default)])
        assert f"| My words, `a\\|b`. | {COUNT} | {shown} | at SIGHUP |\n" in made


def test_a_key_that_has_gone_has_no_row() -> None:
    left = [key for key in KNOWN.values() if key.path != "data_dir"]
    text = page(PAGE.read_text("utf-8"), left)
    assert "| `data_dir` |" not in text
    assert "| `ledger.lease` |" in text


def test_a_key_without_a_meaning_is_an_error() -> None:
    with pytest.raises(LookupError, match=r"server\.new has no meaning: write"):
        page(PAGE.read_text("utf-8"), [*KNOWN.values(), attrs.evolve(NEW, meaning="")])


@pytest.mark.parametrize(
    ("want", "default", "shown"),
    [
        ("a duration greater than 0 such as 500ms", 5400.0, "90m"),
        ("a duration greater than 0 such as 500ms", 0.5, "0.5s"),
        ("a whole number of bytes", 1000, "1000"),
        ("a number from 0 to 1", 0.1, "0.1"),
        ("true or false", False, "`false`"),
        ("text", "pack", "`pack`"),
        ("text", None, "none"),
    ],
)
def test_defaults(want: str, default: object, shown: str) -> None:
    new = attrs.evolve(NEW, path="x.y", want=want, default=default)
    assert row(page("", [new]), "x.y")[3] == shown
