"""
The Dockerfile's steps without Docker: in roots of Debian's own making.

Every instruction of each stage is run in a copy of a base root made by debootstrap.
What this cannot show: the real base image (this one has Debian's Python), other
architectures, layers.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from attrs import Factory, define

TOP: Final = Path(__file__).parents[1]
PACKAGES: Final = "ca-certificates,python3,python3-venv"


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Name and argument of each, in order; lines that go on are joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        if line.strip():
            name, _, argument = line.strip().partition(" ")
            yield name.upper(), argument.strip()


@define
class Image:
    """What the instructions have made so far."""

    root: Path
    stages: dict[str, Path] = Factory(dict)
    directory: str = "/"
    user: str = "0:0"
    command: list[str] = Factory(list)
    entrypoint: list[str] = Factory(list)
    health: list[str] = Factory(list)


def build(dockerfile: str, base: Path, place: Path) -> Image:
    """Run every instruction; the last stage's root is ``place/final``."""
    image = Image(base)
    for name, argument in instructions(dockerfile):
        sys.stdout.write(f"{name} {argument[:100]}\n")
        match name:
            case "FROM":
                stage = argument.partition(" AS ")[2] or "final"
                root = place / stage
                shutil.rmtree(root, ignore_errors=True)
                subprocess.run(["cp", "-a", base, root], check=True)
                image = Image(root, {**image.stages, stage: root})
            case "WORKDIR":
                image.directory = argument
                (image.root / argument[1:]).mkdir(parents=True, exist_ok=True)
            case "COPY":
                _copy(image, shlex.split(argument))
            case "RUN":
                argv = inside(image, ["/bin/sh", "-c", argument], "0:0")
                subprocess.run(argv, env=environment(network=True), check=True)
            case "USER":
                image.user = argument
            case "CMD":
                image.command = json.loads(argument)
            case "ENTRYPOINT":
                image.entrypoint = json.loads(argument)
            case "HEALTHCHECK":
                image.health = json.loads(argument.partition("CMD")[2])
            case "LABEL" | "EXPOSE" | "STOPSIGNAL":
                pass
            case _:
                raise LookupError(f"{name}: teach tools/image_root.py what it does")
    return image


def _copy(image: Image, words: Sequence[str]) -> None:
    source = TOP
    if words[0].startswith("--from="):
        source, words = image.stages[words[0].removeprefix("--from=")], words[1:]
    *names, target = words
    place = image.root / os.path.join(image.directory, target).lstrip("/")
    for name in names:
        given = source / name.lstrip("/")
        if given.is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "dropin.cache")
            kept = None if source != TOP else ignore
            shutil.copytree(
                given, place, symlinks=True, ignore=kept, dirs_exist_ok=True
            )
        else:
            into = place / given.name if target.endswith("/") else place
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(given, into)


def inside(
    image: Image, command: Sequence[str], user: str, *, read_only: bool = False
) -> list[str]:
    """
    The command line that runs *command* in the image's root.

    :param user: By numbers: ``10001:10001``.
    :param read_only: Nothing but the image's directory and /tmp can be written.
    """
    uid, _, gid = user.partition(":")
    root = shlex.quote(str(image.root))
    script = [
        f"mount --bind {root} {root}",
        f"mount -t proc proc {root}/proc",
        f"mount --rbind /dev {root}/dev",
    ]
    if read_only:
        script += [
            f"mount -o remount,bind,ro {root}",
            f"mount -t tmpfs tmpfs {root}/tmp",
            f"mount -t tmpfs -o uid={uid},gid={gid},mode=700 tmpfs "
            f"{root}{image.directory}",
        ]
    chroot = ["chroot", f"--userspec={user}", str(image.root)]
    script.append(
        f"exec {shlex.join([*chroot, 'env', '-C', image.directory, *command])}"
    )
    # What is mounted and started here ends with the command.
    alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    return [*alone, "sh", "-ec", "\n".join(script)]


def environment(*, network: bool = False, **more: str) -> dict[str, str]:
    """
    What a command in a root has of this machine's environment.

    :param network: It may reach registries: pip's settings are lent to it.
    """
    kept = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    if network:
        names = re.compile(r"PIP_(?!FIND_LINKS)|SSL_|https?_proxy|no_proxy", re.I)
        kept |= {name: value for name, value in os.environ.items() if names.match(name)}
    return kept | more


def make_base(place: Path) -> Path:
    """Debian with Python, as of this machine's release and mirror."""
    base = place / "base"
    if not (base / "usr/bin/python3").exists():
        release = dict(
            line.split("=", 1)
            for line in Path("/etc/os-release").read_text().splitlines()
            if "=" in line
        )
        subprocess.run(
            [
                *("debootstrap", "--variant=minbase", f"--include={PACKAGES}"),
                *(release["VERSION_CODENAME"], str(base)),
            ],
            check=True,
        )
    # Where registries are, and by which authorities they are known here.
    for name in ("etc/resolv.conf", "etc/hosts", "etc/pip.conf"):
        if Path("/", name).exists():
            shutil.copyfile(Path("/", name), base / name)
    authorities = "etc/ssl/certs/ca-certificates.crt"
    shutil.copyfile(Path("/", authorities), base / authorities)
    return base
