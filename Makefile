# What a newcomer and a developer need. Each target does its own set-up.
#
#   make run [ARGS="--config my.yaml"]   the daemon, in the foreground
#   make test                            the whole suite, real servers out of wheels;
#                                        make integration-test is the same
#   make test-system                     what takes long, or needs Debian packages, which
#                                        it installs
#   make clients                         clients of S3 of all kinds, which it installs
#   make lint                            ruff and mypy --strict
#   make bench [ARGS=…]                  ratios against the bare backend and a peer
#   make fuzz [ARGS="--minutes 5"]       random bytes at whatever strangers can reach
#   make chaos [ARGS="--minutes 30"]     two daemons, every fault, and a judge
#   make simulate [ARGS="--seeds 5000"]  schedules of two processes in memory, by seeds
#   make generate                        every SQL statement against the schema, and
#                                        the docs and the dashboard made of tables
#   make build                           the container image; needs Docker
#   make push IMAGE=registry/name:tag    the same for amd64 and arm64, and pushed; needs
#                                        Docker with buildx
#   make image-check                     the Dockerfile's steps without Docker; needs
#                                        root, Debian and debootstrap
#
# PYTHON names the Python (3.11 or newer) that the virtual environment is made with.

VENV ?= .venv
PY = $(VENV)/bin/python
ARGS ?=
IMAGE ?= s3proxy:latest
PLATFORMS ?= linux/amd64,linux/arm64
IMAGE_ROOT ?= /var/tmp/s3proxy-image-root
BOOTSTRAP = tools/bootstrap.sh
SETUP = setup.py pyproject.toml $(BOOTSTRAP)
# Compiled modules are kept: without them every start of the daemon compiles them all,
# a third of its time, and the tests start hundreds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test integration-test test-system clients lint bench fuzz chaos simulate generate build push clean
.PHONY: image-check
.DEFAULT_GOAL := help

.PHONY: help
help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

# A set of extras is installed once, and again when what it depends on changes.
$(VENV)/.installed-%: $(SETUP)
	@$(BOOTSTRAP) $(VENV) $*
	@touch $@

run: $(VENV)/.installed-embedded
	@exec $(PY) -m s3proxy $(ARGS)

# Three at a time on two cores: there is nearly always one that waits for a server.
test: $(VENV)/.installed-embedded,test
	$(PY) -m pytest -n 3 --dist loadfile -m "not system and not clients" $(ARGS)

# The real servers are in the suite itself: there is no second one.
integration-test: test

test-system: $(VENV)/.installed-embedded,test,deploy
	tools/system-packages.sh
	$(PY) -m pytest -m system $(ARGS)

clients: $(VENV)/.installed-embedded,test
	tools/system-packages.sh
	tools/client-packages.sh
	$(PY) -m pytest -p tests.clients.table tests/clients $(ARGS)

lint: $(VENV)/.installed-embedded,test,lint
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

bench: $(VENV)/.installed-embedded,test
	$(PY) -m bench.compare $(ARGS)

fuzz: $(VENV)/.installed-embedded,test
	$(PY) -m fuzz $(ARGS)

chaos: $(VENV)/.installed-embedded,test
	$(PY) -m chaos $(ARGS)

simulate: $(VENV)/.installed-embedded,test
	$(PY) -m tests.simulation $(ARGS)

generate: $(VENV)/.installed-embedded,test
	$(PY) -m tools.prepare_statements
	$(PY) -m tools.operations
	$(PY) -m tools.metrics
	$(PY) -m tools.configuration
	$(PY) -m tools.dashboard

build:
	@command -v docker >/dev/null || { echo "make build needs Docker" >&2; exit 1; }
	docker build --tag $(IMAGE) .

push:
	@case "$(IMAGE)" in */*) ;; *) \
	echo "make push wants IMAGE=registry/name:tag, got $(IMAGE)" >&2; exit 1 ;; esac
	@docker buildx version >/dev/null 2>&1 || { \
	echo "make push needs Docker with buildx" >&2; exit 1; }
	docker buildx build --platform $(PLATFORMS) --tag $(IMAGE) --push . || { \
	echo "Where it says that the driver cannot do several platforms:" \
	"docker buildx create --use" >&2; exit 1; }

image-check: $(VENV)/.installed-embedded,test
	@command -v debootstrap >/dev/null || { \
	echo "make image-check needs debootstrap (apt-get install debootstrap)" >&2; exit 1; }
	tools/system-packages.sh
	$(PY) -m tools.image_check $(IMAGE_ROOT)

clean:
	rm -rf $(VENV) .venv-clients* .prometheus tests/clients/node/node_modules build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
