"""``docs/metrics.md``, made of the table of series."""

from __future__ import annotations

from s3proxy.telemetry.series import SECTIONS

_HEAD = """\
# Metrics

Made from `s3proxy/telemetry/series.py` by `make generate`; do not edit.

`telemetry.metrics.enabled: true` shows these at `telemetry.metrics.path`, in the text
format of Prometheus, and beside them `process_*`: CPU, memory and open files, as every
exporter has them. With several worker processes one scrape of any of them shows the
whole: counters and histograms are sums over all processes, also those that have ended.

What comes from PostgreSQL is read every 30 seconds, without a call of a backend, and
never in a scrape: a database that is away makes these numbers old, not absent, and
`s3proxy_ledger_last_refresh_timestamp_seconds` says how old. Counting objects looks at
every copy, so it is done less often where it takes longer than one and a half seconds:
it never takes more than a twentieth of the time.

Values of labels are from closed sets, which no client can extend:

- `method`: `GET`, `HEAD`, `PUT`, `POST`, `DELETE`, `OPTIONS`, or `other`;
- `operation`: as S3 names it (`PutObject`, `UploadPart`, …);
- `status`: `success`, `error`, and where it applies `refused` and `aborted`;
- `backend`: as configured; `statement`: one of `s3proxy/store/queries`, or `other`;
- `task`: a job by its name. (Not `job`, which Prometheus sets itself.)

`promtool check metrics` has one objection: `s3proxy_objects_count` ends as a
histogram's count does. The name is the specification's.
"""


def page() -> str:
    """``docs/metrics.md``."""
    lines = []
    for title, section in SECTIONS:
        lines.append(
            f"\n## {title}\n\n| series | type | labels | |\n|---|---|---|---|\n"
        )
        for each in section:
            labels = ", ".join(f"`{label}`" for label in each.labels)
            lines.append(f"| `{each.name}` | {each.kind} | {labels} | {each.text} |\n")
    return _HEAD + "".join(lines)
