#!/bin/sh
# What `make test-system` needs and the test suite's own wheels cannot bring:
# Debian packages, and clients in a virtual environment of their own (awscli pins
# another botocore than the suite's boto3).
#
# Run as root on Debian or Ubuntu; elsewhere it says what to install by hand. Whatever
# is missing at the end is an error, never a test that is left out.
set -eu
cd "$(dirname "$0")/.."

PACKAGES="chromium curl openssl postgresql restic systemd"
CLIENTS=.venv-clients
WHEELS="awscli s3cmd"
PROMETHEUS=.prometheus
PYTHON=${PYTHON:-python3}

missing() {
    command -v chromium >/dev/null || echo chromium
    command -v curl >/dev/null || echo curl
    command -v openssl >/dev/null || echo openssl
    command -v restic >/dev/null || echo restic
    command -v systemd-analyze >/dev/null || echo systemd
    ls -d /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || echo postgresql
}

if [ -n "$(missing)" ]; then
    if ! command -v apt-get >/dev/null; then
        echo "The system tests need Debian's packages $PACKAGES (or Ubuntu's), and" >&2
        echo "there is no apt-get here. Missing: $(missing | xargs)" >&2
        exit 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        echo "The system tests need Debian packages, and only root can install them:" >&2
        echo "    sudo apt-get update && sudo apt-get install $(missing | xargs)" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    if missing | grep -q postgresql; then
        # Debian would start a server on port 5432; the tests start theirs themselves.
        apt-get install -y -qq --no-install-recommends postgresql-common
        settings=/etc/postgresql-common/createcluster.conf
        grep -qs '^create_main_cluster' $settings ||
            echo "create_main_cluster = false" >>$settings
    fi
    # shellcheck disable=SC2046,SC2086 # one word a package
    apt-get install -y -qq --no-install-recommends $(missing)
fi
if [ -n "$(missing)" ]; then
    echo "Still missing after the installation: $(missing | xargs)" >&2
    exit 1
fi

# Installed, it would be a service that listens, now and after each start: unpacked here
# it is a program, and needs no more than the C library.
if [ ! -x "$PROMETHEUS/usr/bin/promtool" ]; then
    if ! command -v apt-get >/dev/null; then
        echo "The system tests need Debian's package prometheus, unpacked in" >&2
        echo "$PROMETHEUS, and there is no apt-get here." >&2
        exit 1
    fi
    echo "Unpacking prometheus into $PROMETHEUS"
    rm -rf "$PROMETHEUS"
    mkdir "$PROMETHEUS"
    (
        cd "$PROMETHEUS"
        apt-get download -qq prometheus || {
            [ "$(id -u)" -eq 0 ] && apt-get update -qq
            apt-get download -qq prometheus
        }
        dpkg-deb -x prometheus_*.deb .
        rm prometheus_*.deb
    )
fi

if [ ! -e "$CLIENTS/.installed" ]; then
    echo "Installing $WHEELS into $CLIENTS"
    "$PYTHON" -m venv --clear "$CLIENTS"
    # shellcheck disable=SC2086 # one word a wheel
    "$CLIENTS/bin/python" -m pip install --quiet --disable-pip-version-check $WHEELS
    touch "$CLIENTS/.installed"
fi
