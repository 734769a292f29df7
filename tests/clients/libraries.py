"""
Libraries of S3, each behind a small program of a user's own, and s5cmd.

Their multipart uploads are as they come. ``make clients`` installs them.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.clients.tools import TOOLS, Tool, program
from tests.daemon import BUCKET

HERE = Path(__file__).parent
NODE_MODULES = HERE / "node/node_modules"


class Library(Tool):
    """A program of ``python/`` or ``node/``: what to do is its first argument."""

    installed_by = "clients"
    script: ClassVar[str]
    #: The virtual environment of those in Python.
    environment_name: ClassVar[str] = "-libraries"

    def __init__(self, endpoint: str, home: Path, ca_file: Path | None = None) -> None:
        super().__init__(endpoint, home, ca_file)
        self.environment |= {"S3_ENDPOINT": endpoint, "S3_BUCKET": BUCKET}

    def command(self) -> Sequence[str]:
        """What runs the program."""
        python = program("python", self.environment_name)
        return (python, str(HERE / "python" / self.script))

    def ask(self, verb: str, *arguments: str) -> str:
        """Run the program; what it printed."""
        return self.run(*self.command(), verb, *arguments)

    def put(self, path: Path, key: str) -> str:
        return self.ask("put", str(path), key)

    def keys(self, prefix: str) -> set[str]:
        return set(self.ask("keys", prefix).splitlines())

    def get(self, key: str, path: Path) -> str:
        return self.ask("get", key, str(path))

    def delete(self, key: str) -> str:
        return self.ask("delete", key)

    def upload(self, path: Path, key: str) -> str:
        """In parts."""
        return self.put(path, key)

    def presign(self, key: str) -> tuple[str, str]:
        """A URL to put to, and one to get from."""
        to, back = self.ask("presign", key).splitlines()
        return to, back


class MinioPy(Library):
    """minio-py"""

    client = "minio-py"
    script = "minio_py.py"


class Obstore(Library):
    """obstore"""

    client = "obstore"
    script = "obstore_py.py"


class Pyarrow(Library):
    """pyarrow"""

    client = "pyarrow"
    script = "pyarrow_py.py"


class S3fs(Library):
    """s3fs, of fsspec, whose botocore is another than boto3's."""

    client = "s3fs (fsspec)"
    script = "s3fs_py.py"
    environment_name = "-s3fs"


class NodeLibrary(Library):
    """A program for Node.js."""

    def command(self) -> Sequence[str]:
        node = shutil.which("node")
        installed = node is not None and NODE_MODULES.exists()
        assert installed, (
            "node or its packages are missing: run tools/client-packages.sh"
        )
        # Without the advice which Node.js is supported for how long.
        return (str(node), "--no-warnings", str(HERE / "node" / self.script))


class MinioJs(NodeLibrary):
    """minio-js"""

    client = "minio-js"
    script = "minio.mjs"


class AwsSdkJs(NodeLibrary):
    """@aws-sdk/client-s3, with lib-storage for uploads in parts."""

    client = "@aws-sdk/client-s3"
    script = "aws-sdk.mjs"

    def upload(self, path: Path, key: str) -> str:
        return self.ask("upload", str(path), key)


class S5cmd(Tool):
    """``s5cmd``"""

    client = "s5cmd"
    installed_by = "clients"

    def s5cmd(self, *arguments: str, fails: bool | None = False) -> str:
        """``s5cmd …``, against the endpoint."""
        s5cmd = (program("s5cmd", "-libraries"), "--endpoint-url", self.endpoint)
        return self.run(*s5cmd, *arguments, fails=fails)

    def put(self, path: Path, key: str) -> str:
        return self.s5cmd("cp", str(path), f"s3://{BUCKET}/{key}")

    def keys(self, prefix: str) -> set[str]:
        # It fails where it finds nothing.
        bucket = f"s3://{BUCKET}/"
        said = self.s5cmd("ls", "--show-fullpath", f"{bucket}*", fails=None)
        if said.endswith("no object found\n"):
            return set()
        names = [line.removeprefix(bucket) for line in said.splitlines()]
        return {name for name in names if name.startswith(prefix)}

    def get(self, key: str, path: Path) -> str:
        return self.s5cmd("cp", "--raw", f"s3://{BUCKET}/{key}", str(path))

    def delete(self, key: str) -> str:
        return self.s5cmd("rm", "--raw", f"s3://{BUCKET}/{key}")


SDKS: Sequence[type[Library]] = (MinioPy, MinioJs, AwsSdkJs)
EVERY: Sequence[type[Tool]] = (*TOOLS, *SDKS, S5cmd, S3fs, Pyarrow, Obstore)


def params(kinds: Sequence[type[Tool]]) -> list[Any]:
    """Each as the parameter of a fixture, with the marker of what installs it."""
    return [
        pytest.param(
            kind,
            marks=[getattr(pytest.mark, name) for name in [kind.installed_by] if name],
            id=kind.__name__,
        )
        for kind in kinds
    ]
