"""Signatures of forms' policies, of both versions, and who is let in by them."""

from __future__ import annotations

import pytest

from s3proxy.errors import (
    InvalidAccessKeyId,
    InvalidArgument,
    S3Error,
    SignatureDoesNotMatch,
)
from s3proxy.s3 import form_signatures
from tests.s3.forms import policy, signed_v2, signed_v4
from tests.s3.signing import ACCESS_KEY_ID, REGIONS, SECRET

V4 = {name.lower(): value for name, value in signed_v4([("key", "k")])}
V2 = {name.lower(): value for name, value in signed_v2([("key", "k")])}


def verify(fields: dict[str, str]) -> str:
    return form_signatures.verify(
        fields, secret_of={ACCESS_KEY_ID: SECRET}.get, regions=REGIONS
    )


@pytest.mark.parametrize("fields", [V4, V2])
def test_signed(fields: dict[str, str]) -> None:
    assert form_signatures.is_signed(fields)
    assert verify(fields) == ACCESS_KEY_ID


def test_the_example_of_the_documentation() -> None:
    """S3's own, with version 4: its policy's base64 is the string to sign."""
    text = (
        "eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KICAiY29uZGl0aW9u"
        "cyI6IFsNCiAgICB7ImJ1Y2tldCI6ICJzaWd2NGV4YW1wbGVidWNrZXQifSwNCiAgICBbInN0YXJ0"
        "cy13aXRoIiwgIiRrZXkiLCAidXNlci91c2VyMS8iXSwNCiAgICB7ImFjbCI6ICJwdWJsaWMtcmVh"
        "ZCJ9LA0KICAgIHsic3VjY2Vzc19hY3Rpb25fcmVkaXJlY3QiOiAiaHR0cDovL3NpZ3Y0ZXhhbXBs"
        "ZWJ1Y2tldC5zMy5hbWF6b25hd3MuY29tL3N1Y2Nlc3NmdWxfdXBsb2FkLmh0bWwifSwNCiAgICBb"
        "InN0YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAiaW1hZ2UvIl0sDQogICAgeyJ4LWFtei1t"
        "ZXRhLXV1aWQiOiAiMTQzNjUxMjM2NTEyNzQifSwNCiAgICB7IngtYW16LXNlcnZlci1zaWRlLWVu"
        "Y3J5cHRpb24iOiAiQUVTMjU2In0sDQogICAgWyJzdGFydHMtd2l0aCIsICIkeC1hbXotbWV0YS10"
        "YWciLCAiIl0sDQoNCiAgICB7IngtYW16LWNyZWRlbnRpYWwiOiAiQUtJQUlPU0ZPRE5ON0VYQU1Q"
        "TEUvMjAxNTEyMjkvdXMtZWFzdC0xL3MzL2F3czRfcmVxdWVzdCJ9LA0KICAgIHsieC1hbXotYWxn"
        "b3JpdGhtIjogIkFXUzQtSE1BQy1TSEEyNTYifSwNCiAgICB7IngtYW16LWRhdGUiOiAiMjAxNTEy"
        "MjlUMDAwMDAwWiIgfQ0KICBdDQp9"
    )
    fields = {
        "policy": text,
        "x-amz-algorithm": "AWS4-HMAC-SHA256",
        "x-amz-credential": "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request",
        "x-amz-date": "20151229T000000Z",
        "x-amz-signature": (
            "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e"
        ),
    }
    key = form_signatures.verify(
        fields,
        secret_of=lambda _: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        regions=("us-east-1",),
    )
    assert key == "AKIAIOSFODNN7EXAMPLE"


@pytest.mark.parametrize("fields", [V4, V2])
def test_every_field_is_needed(fields: dict[str, str]) -> None:
    for name in fields.keys() - {"key"}:
        rest = {each: value for each, value in fields.items() if each != name}
        assert form_signatures.is_signed(rest)
        with pytest.raises(InvalidArgument) as why:
            verify(rest)
        assert why.value.fields["ArgumentName"] == name


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        (V4 | {"policy": policy("other")}, SignatureDoesNotMatch),
        (V2 | {"policy": policy("other")}, SignatureDoesNotMatch),
        (
            V4 | {"x-amz-signature": V4["x-amz-signature"].upper()},
            SignatureDoesNotMatch,
        ),
        (V4 | {"x-amz-signature": ""}, SignatureDoesNotMatch),
        (V4 | {"x-amz-signature": "é"}, SignatureDoesNotMatch),
        (V2 | {"signature": ""}, SignatureDoesNotMatch),
        (dict(signed_v4([], secret="wrong")), SignatureDoesNotMatch),
        (dict(signed_v4([], access_key_id="nobody")), InvalidAccessKeyId),
        (V2 | {"awsaccesskeyid": "nobody"}, InvalidAccessKeyId),
        (dict(signed_v4([], region="elsewhere")), InvalidArgument),
        (V4 | {"x-amz-algorithm": "AWS4-ECDSA-P256-SHA256"}, InvalidArgument),
        (V4 | {"x-amz-date": "2026-11-22"}, InvalidArgument),
        (V4 | {"x-amz-date": "20261121T120000Z"}, InvalidArgument),
        (V4 | {"x-amz-credential": ACCESS_KEY_ID}, InvalidArgument),
        (V4 | V2, InvalidArgument),
        # A signature of one version is none of the other.
        (V2 | {"signature": V4["x-amz-signature"]}, SignatureDoesNotMatch),
    ],
)
def test_refused(fields: dict[str, str], error: type[S3Error]) -> None:
    with pytest.raises(error):
        verify(fields)


def test_nothing_is_no_signature() -> None:
    assert not form_signatures.is_signed({"key": "k", "acl": "private"})
