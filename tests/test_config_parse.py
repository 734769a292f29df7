"""YAML taken strictly, ``${NAME}`` in its strings, and durations."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from s3proxy import config_values
from s3proxy.config import load
from s3proxy.config_parse import Unfit, expand
from s3proxy.errors import ConfigError
from tests.config_documents import BACKEND, DATABASE, HERE, problems, read


class TestExpansion:
    def test_parts_of_strings_anywhere(self) -> None:
        config = read(
            {
                "server": {"listen_addr": "${HOST}:${PORT}"},
                "backends": [dict(BACKEND, secret_access_key="${SECRET}")],
                "data_dir": "${HOME}/state",
            },
            HOST="127.0.0.1",
            PORT="1234",
            SECRET="s: {x} #",
            HOME="/home/me",
        )
        assert config.server.listen_addr == "127.0.0.1:1234"
        assert config.backends[0].secret_access_key == "s: {x} #"
        assert config.data_dir == Path("/home/me/state")

    def test_numbers_truth_values_and_durations(self) -> None:
        config = read(
            {
                "database": dict(DATABASE, port="${PORT}"),
                "backends": [
                    dict(BACKEND, quota_bytes="${N}000", force_path_style="${YES}")
                ],
                "telemetry": {"tracing": {"sample_rate": "${RATE}"}},
                "ledger": {"lease": "${LEASE}", "grace": "${GRACE}"},
            },
            PORT="5433",
            N="12",
            YES="True",
            RATE="0.25",
            LEASE="90",
            GRACE="2m",
        )
        assert config.database is not None
        assert config.database.port == 5433
        assert config.backends[0].quota_bytes == 12000
        assert config.backends[0].force_path_style is True
        assert config.telemetry.tracing.sample_rate == 0.25
        assert (config.ledger.lease_seconds, config.ledger.grace_seconds) == (90, 120)

    def test_values_are_never_repeated(self) -> None:
        """A variable named by mistake may hold a secret."""
        lines = problems(
            {
                "database": dict(DATABASE, port="${OOPS}", ssl_mode="${OOPS}"),
                "telemetry": {"tracing": {"sample_rate": "${OOPS}"}},
                "backends": [dict(BACKEND, force_path_style="${OOPS}")],
                "ledger": {"lease": "a${OOPS}"},
            },
            OOPS="hidden",
        )
        assert len(lines) == 5
        for line in lines:
            assert line.endswith("got text from ${OOPS}")
            assert "hidden" not in line

    def test_unset_variable(self) -> None:
        assert problems({"auth": {"token": "${TOKEN}"}}) == [
            "auth.token: the environment variable TOKEN is not set"
        ]

    def test_empty_variable(self) -> None:
        [line] = problems({"auth": {"token": "${TOKEN}"}}, TOKEN="")
        assert line.endswith("got empty text from ${TOKEN}")

    def test_line_end_of_a_secret_file(self) -> None:
        [line] = problems({"auth": {"token": "${TOKEN}"}}, TOKEN="hidden\n")
        assert line.startswith(
            "auth.token: want text in quotes, not empty, without con"
        )

    def test_the_yaml_text_itself_is_not_expanded(self) -> None:
        """A variable cannot change the document's shape, nor name a key."""
        [line] = problems("${X}: {token: y}", X="auth")
        assert line.startswith("'${X}': unknown key")
        config = read("auth: {token: '${X}'}", X="'} server: {port: 1}")
        assert config.auth.token == "'} server: {port: 1}"

    @pytest.mark.parametrize(
        "text", ["${", "a${", "${}", "${A", "${1}", "${A:-b}", "${ A}"]
    )
    def test_malformed(self, text: str) -> None:
        [line] = problems({"auth": {"token": text}}, A="x")
        assert line.startswith("auth.token: want ${NAME} where ${ is written")

    @given(st.text(), st.text(), st.text())
    @settings(max_examples=200)
    def test_a_value_stands_as_it_is(self, before: str, value: str, after: str) -> None:
        """The variable's value comes through, whatever it holds, ``${B}`` included."""
        before, after = before.replace("$", ""), after.replace("$", "")
        environ = {"A_1": value, "B": "not this"}
        assert expand(f"{before}${{A_1}}{after}", environ) == before + value + after

    @given(st.text().filter(lambda text: "${" not in text))
    @settings(max_examples=200)
    def test_text_without_variables_is_unchanged(self, text: str) -> None:
        assert expand(text, {}) is text


class TestDurations:
    convert = staticmethod(config_values.duration(zero=True))

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("500ms", 0.5),
            ("60s", 60),
            ("10m", 600),
            ("1h", 3600),
            ("1h30m", 5400),
            ("1.5s", 1.5),
            ("2d", 172800),
            ("15", 15),
            (15, 15),
            (0.25, 0.25),
            (0, 0),
            ("0", 0),
        ],
    )
    def test_forms(self, text: object, seconds: float) -> None:
        assert self.convert(text) == seconds

    @given(st.integers(0, 10**6), st.sampled_from(["ms", "s"]))
    @settings(max_examples=100)
    def test_count_and_unit(self, count: int, unit: str) -> None:
        seconds = count / {"ms": 1000, "s": 1}[unit]
        assert self.convert(f"{count}{unit}") == pytest.approx(seconds)

    @given(
        st.text(alphabet="0123456789.smhd -+e_")
        | st.floats()
        | st.none()
        | st.booleans()
        | st.binary()
    )
    @settings(max_examples=500)
    def test_seconds_or_unfit(self, value: object) -> None:
        """Whatever stands there: a sane number of seconds, or a clear refusal."""
        try:
            seconds = self.convert(value)
        except Unfit as why:
            assert str(why).startswith("want a duration of 0 or more")
        else:
            assert 0 <= seconds <= config_values.MAX_SECONDS
            assert not isinstance(value, bool)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not valid YAML at line 1, column 5"),
        ("server: {}\nserver: {}", "not valid YAML at line 2, column 1: key server is"),
        ("ledger:\n  lease: 1\n  lease: 2", "not valid YAML at line 3, column 3: key"),
        ("a: 1\n---\nb: 2", "not valid YAML at line 2"),
        ("auth: {token: *hidden}", "not valid YAML at line 1, column 15"),
        ("auth: {token: !hidden x}", "not valid YAML at line 1, column 15"),
        ("auth:\n\ttoken: hidden", "not valid YAML at line 2, column 1"),
        ("ledger: {lease: 2024-99-99}", "not valid YAML: a value cannot be read"),
        ("\x00", "not valid YAML: a value cannot be read"),
        ("just text", "want keys with values, got text"),
        ("- a", "want keys with values, got a list"),
        ("7: x", "7: unknown key"),
    ],
)
def test_documents_that_are_none(text: str, message: str) -> None:
    """Bad YAML is told by its place, without quoting what may be a secret."""
    [line] = problems(text)
    assert line.startswith(message)
    assert "hidden" not in line


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["server", "auth", "database", "backends", "ledger", "host"]
                )
                | st.sampled_from(
                    ["name", "endpoint", "quota_bytes", "lease", "telemetry"]
                )
                | st.text(max_size=4),
                inner,
                max_size=4,
            )
        ),
        max_leaves=15,
    )
)
@settings(max_examples=300)
def test_any_document_is_read_or_refused(document: object) -> None:
    """No document brings anything but a Config or a ConfigError."""
    text = yaml.safe_dump(document)
    try:
        load(text, {}, default_data_dir=HERE)
    except ConfigError as why:
        assert str(why)
