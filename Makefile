# What a newcomer and a developer need. Each target does its own set-up.
#
#   make run [ARGS="--config my.yaml"]   the daemon, in the foreground
#   make test                            the whole suite, real servers out of wheels
#   make test-system                     what needs Debian packages, or is slow
#   make lint                            ruff and mypy --strict
#   make bench [ARGS=…]                  ratios against the bare backend and a peer
#   make fuzz [ARGS="--minutes 5"]       random bytes at whatever strangers can reach
#   make generate                        every SQL statement against the schema, and
#                                        docs/operations.md from its table
#   make build / make push               the container image; they need Docker
#
# PYTHON names the Python (3.11 or newer) that the virtual environment is made with.

VENV ?= .venv
PY = $(VENV)/bin/python
ARGS ?=
IMAGE ?= s3proxy:latest
PLATFORMS ?= linux/amd64,linux/arm64
BOOTSTRAP = tools/bootstrap.sh
SETUP = setup.py pyproject.toml $(BOOTSTRAP)

.PHONY: run test integration-test test-system lint bench fuzz generate build push clean
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

test: $(VENV)/.installed-embedded,test
	$(PY) -m pytest -n 2 --dist loadfile -m "not system" $(ARGS)

# The real servers are in the suite itself: there is no second one.
integration-test: test

test-system: $(VENV)/.installed-embedded,test
	tools/system-packages.sh
	$(PY) -m pytest -m system $(ARGS)

lint: $(VENV)/.installed-embedded,test,lint
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

bench: $(VENV)/.installed-embedded,test
	$(PY) -m bench.compare $(ARGS)

fuzz: $(VENV)/.installed-embedded,test
	$(PY) -m fuzz $(ARGS)

generate: $(VENV)/.installed-embedded,test
	$(PY) -m tools.prepare_statements
	$(PY) -m tools.operations

build:
	@command -v docker >/dev/null || { echo "make build needs Docker" >&2; exit 1; }
	docker build --tag $(IMAGE) .

push:
	@command -v docker >/dev/null || { echo "make push needs Docker" >&2; exit 1; }
	docker buildx build --platform $(PLATFORMS) --tag $(IMAGE) --push .

clean:
	rm -rf $(VENV) .venv-clients build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
