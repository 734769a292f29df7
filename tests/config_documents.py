"""Small configurations, and how to read them, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from s3proxy.config import Config, load
from s3proxy.errors import ConfigError

HERE = Path("/somewhere")

BACKEND: dict[str, Any] = {
    "name": "one",
    "endpoint": "http://127.0.0.1:9001",
    "bucket": "first",
    "access_key_id": "AK",
    "secret_access_key": "SK-hidden",
    "quota_bytes": 1000,
}
OTHER = {**BACKEND, "name": "two", "bucket": "second"}
DATABASE: dict[str, Any] = {"host": "db", "database": "d", "user": "u"}


def read(document: object, **environ: str) -> Config:
    text = document if isinstance(document, str) else yaml.safe_dump(document)
    return load(text, environ, default_data_dir=HERE)


def problems(document: object, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(document, **environ)
    return str(caught.value).splitlines()
