"""``make generate``: write ``docs/metrics.md`` from the table of series."""

from __future__ import annotations

from pathlib import Path

from s3proxy.telemetry.reference import page

PAGE = Path(__file__).parents[1] / "docs/metrics.md"

if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
