"""The command lines of the embedded servers. Pure; what each flag is for is here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

POSTGRES_USER = "s3proxy"
POSTGRES_PORT = 5432


def initdb(bin_dir: Path, cluster: Path) -> list[str]:
    """
    Make a cluster whose only door is a Unix socket of ours (hence ``trust``).

    ``C.UTF-8`` makes keys compare as bytes whatever the machine's locale is.
    """
    return [
        str(bin_dir / "initdb"),
        *("-D", str(cluster), "-U", POSTGRES_USER, "-A", "trust", "-E", "UTF8"),
        *("--locale=C.UTF-8", "--no-instructions"),
    ]


def postgres(
    bin_dir: Path, cluster: Path, socket_dir: Path, settings: Mapping[str, str]
) -> list[str]:
    """
    Serve *cluster* on a socket in *socket_dir* that only its own user may open.

    :param settings: More server settings, for tests.
    """
    wanted = {
        "listen_addresses": "",
        "unix_socket_permissions": "0700",
        "max_connections": "50",
        **settings,
    }
    pairs = [part for name in wanted for part in ("-c", f"{name}={wanted[name]}")]
    return [
        str(bin_dir / "postgres"),
        *("-D", str(cluster), "-k", str(socket_dir), "-p", str(POSTGRES_PORT)),
        *pairs,
    ]


@frozen
class WeedPorts:
    """The ports of one ``weed mini``; clients need only the first."""

    s3: int
    master: int
    filer: int
    volume: int
    s3_grpc: int
    master_grpc: int
    filer_grpc: int
    volume_grpc: int
    admin: int
    admin_grpc: int


WEED_ENVIRONMENT = {"GOMEMLIMIT": "256MiB"}


def weed_mini(
    program: Path, directory: Path, config: Path, ports: WeedPorts
) -> list[str]:
    """
    Serve S3 from *directory*, on loopback only.

    Without these flags it binds 0.0.0.0 and reports to its makers. Every port is
    given, since an unset admin port moves silently; one that is taken ends the
    program with status 1.
    """
    return [
        str(program),
        "-logtostderr=true",
        "mini",
        weed_marker(directory),
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-master.telemetry=false",
        f"-s3.config={config}",
        "-s3.iam=false",
        "-admin.ui=false",
        "-webdav=false",
        f"-s3.port={ports.s3}",
        f"-master.port={ports.master}",
        f"-filer.port={ports.filer}",
        f"-volume.port={ports.volume}",
        f"-admin.port={ports.admin}",
        f"-s3.port.grpc={ports.s3_grpc}",
        f"-master.port.grpc={ports.master_grpc}",
        f"-filer.port.grpc={ports.filer_grpc}",
        f"-volume.port.grpc={ports.volume_grpc}",
        f"-admin.port.grpc={ports.admin_grpc}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    ]


def weed_marker(directory: Path) -> str:
    """The argument that only the server on *directory* has."""
    return f"-dir={directory}"


def weed_identities(access_key_id: str, secret_access_key: str) -> str:
    """The text of ``-s3.config``: one identity that may do everything."""
    identity = {
        "name": "s3proxy",
        "credentials": [
            {"accessKey": access_key_id, "secretKey": secret_access_key},
        ],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    return json.dumps({"identities": [identity]})


def weed_litter(ports: WeedPorts) -> list[Path]:
    """The sockets that it makes in /tmp; it leaves them there when it is killed."""
    parts = ("s3", "filer", "s3_grpc", "master_grpc", "filer_grpc", "volume_grpc")
    return [
        Path(f"/tmp/seaweedfs-{part.replace('_', '-')}-{getattr(ports, part)}.sock")
        for part in (*parts, "admin_grpc")
    ]
