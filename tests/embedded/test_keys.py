"""Generated client keys."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from s3proxy.embedded.errors import EmbeddedError
from s3proxy.embedded.keys import FILE_NAME, client_keys


def test_keys_are_made_once_and_private(tmp_path: Path) -> None:
    """The second call reads what the first made; only the owner may read the file."""
    made = client_keys(tmp_path)
    assert made == client_keys(tmp_path)
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_keys_have_the_shape_of_aws(tmp_path: Path) -> None:
    """Tools check the shape, and a secret must survive being pasted."""
    keys = client_keys(tmp_path)
    assert re.fullmatch(r"AKIA[A-Z2-7]{16}", keys.access_key_id or "")
    assert re.fullmatch(r"[A-Za-z0-9]{40}", keys.secret_access_key or "")


def test_keys_differ(tmp_path: Path) -> None:
    """Two installations do not share keys."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert client_keys(tmp_path / "a") != client_keys(tmp_path / "b")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"access_key_id": "x"}', "nonsense"])
def test_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    """A damaged file is not overwritten: somebody may still use its keys."""
    (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(EmbeddedError, match=FILE_NAME):
        client_keys(tmp_path)
    assert (tmp_path / FILE_NAME).read_text() == text
