"""``make generate``: write ``docs/operations.md`` from the table of operations."""

from __future__ import annotations

from pathlib import Path

from s3proxy.s3.catalogue import page

PAGE = Path(__file__).parents[1] / "docs/operations.md"

if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
