"""What a first start prints, to be pasted into a shell."""

from __future__ import annotations

from s3proxy.config import AuthConfig


def banner(endpoint: str, bucket: str, auth: AuthConfig) -> str:
    """Keys, endpoint, and three commands that store, list and fetch an object."""
    keys = (
        f"AWS_ACCESS_KEY_ID={auth.access_key_id} "
        f"AWS_SECRET_ACCESS_KEY={auth.secret_access_key}"
    )
    aws = f"aws --endpoint-url {endpoint} --region us-east-1 s3"
    return f"""
s3proxy is ready at {endpoint}, bucket {bucket}. In another shell:

export {keys}

{aws} cp README.md s3://{bucket}/README.md
{aws} ls s3://{bucket}/
{aws} cp s3://{bucket}/README.md copy-of-README.md

Ctrl-C stops it. The data stay, and so do the keys.

"""
