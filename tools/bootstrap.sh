#!/bin/sh
# bootstrap.sh VENV EXTRAS: a virtual environment with s3proxy and these extras in it.
# Everything that can be missing is named, with the command that mends it.
set -eu
venv=$1 extras=$2
cd "$(dirname "$0")/.."

say() { printf 's3proxy: %s\n' "$*"; }
fail() { printf '\ns3proxy: %s\n' "$*" >&2; exit 1; }

fits() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    for each in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python; do
        if command -v "$each" >/dev/null && fits "$each"; then
            command -v "$each"
            return
        fi
    done
    return 1
}

# A virtual environment that was moved, or whose Python has gone, is made again.
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python) || fail "no Python 3.11 or newer is on PATH.
Debian 12 or newer, Ubuntu 24.04 or newer:  sudo apt-get install python3 python3-venv
Fedora:  sudo dnf install python3        macOS:  brew install python
or name one:  make run PYTHON=/path/to/python3.11"
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    "$python" -c 'import venv, ensurepip' 2>/dev/null || fail "$python has no venv module.
Debian, Ubuntu:  sudo apt-get install python3-venv  (or python$version-venv)"
    say "making a virtual environment in $venv with Python $version"
    rm -rf "$venv"
    "$python" -m venv "$venv" || fail "could not make $venv, see above"
fi

say "installing s3proxy and what it needs into $venv; the first time takes a minute"
"$venv/bin/python" -m pip install --disable-pip-version-check --no-input \
    --prefer-binary --editable ".[$extras]" ||
    fail "pip could not install, see above: it needs a connection to PyPI or a mirror"
"$venv/bin/python" -m pip check --disable-pip-version-check >/dev/null ||
    fail "the installed packages do not fit together: remove $venv and try again"
say "installed"
