#!/bin/sh
# What `make clients` needs beside what tools/system-packages.sh brings (run that first):
# more Debian packages, and libraries in directories of their own, which git ignores.
#
# Whatever is missing at the end is an error, never a test that is left out; but for
# s3fs-fuse's /dev/fuse, which no package brings.
set -eu
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
NODE=tests/clients/node

missing() {
    command -v gpg >/dev/null || echo gnupg
    command -v node >/dev/null || echo nodejs
    command -v npm >/dev/null || echo npm
    command -v s3fs >/dev/null || echo s3fs
}

if [ -n "$(missing)" ]; then
    if ! command -v apt-get >/dev/null; then
        echo "make clients needs Debian's packages gnupg, nodejs, npm and s3fs (or" >&2
        echo "Ubuntu's), and there is no apt-get here. Missing: $(missing | xargs)" >&2
        exit 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        echo "make clients needs Debian packages, and only root can install them:" >&2
        echo "    sudo apt-get update && sudo apt-get install $(missing | xargs)" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2046 # one word a package
    apt-get install -y -qq --no-install-recommends $(missing)
fi
if [ -n "$(missing)" ]; then
    echo "Still missing after the installation: $(missing | xargs)" >&2
    exit 1
fi

install() {
    venv=$1
    shift
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}
empty() {
    echo "Installing into $1"
    "$PYTHON" -m venv --clear "$1"
}

LIBRARIES=.venv-clients-libraries
if [ ! -e $LIBRARIES/.installed ]; then
    empty $LIBRARIES
    install $LIBRARIES minio obstore pyarrow s5cmd
    touch $LIBRARIES/.installed
fi

# It pins a botocore of its own.
S3FS=.venv-clients-s3fs
if [ ! -e $S3FS/.installed ]; then
    empty $S3FS
    install $S3FS s3fs
    touch $S3FS/.installed
fi

# Without its other backends: they are half a gigabyte.
DUPLICITY=.venv-clients-duplicity
if [ ! -e $DUPLICITY/.installed ]; then
    empty $DUPLICITY
    install $DUPLICITY boto3 fasteners
    install $DUPLICITY --no-deps duplicity
    touch $DUPLICITY/.installed
fi

if ! cmp -s $NODE/package-lock.json $NODE/node_modules/.installed; then
    echo "Installing into $NODE/node_modules"
    npm --prefix $NODE ci --no-audit --no-fund --loglevel=error
    cp $NODE/package-lock.json $NODE/node_modules/.installed
fi
