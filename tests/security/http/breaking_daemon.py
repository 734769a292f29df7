"""The daemon with a mistake in it: a HEAD of one key fails as nothing should."""

from typing import NoReturn

from s3proxy.cli import main
from s3proxy.manager.objects import Objects
from s3proxy.model import ObjectInfo

KEY = "mistake"
_head = Objects.head


async def head(self: Objects, bucket: str, key: str) -> ObjectInfo:
    """With text of its client's in the exception: a traceback shows it."""
    if key == KEY:
        _fail(key)
    return await _head(self, bucket, key)


def _fail(key: str) -> NoReturn:
    raise RuntimeError(f"a mistake with {key}")


if __name__ == "__main__":
    Objects.head = head  # type: ignore[method-assign]
    main()
