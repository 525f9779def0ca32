# The verbs of the project, the same here and in CI. Each makes .venv when it is missing or stale.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help install test soak lint types demo dev bench migrate lock clean

help:  ## what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP)  ## .venv with every dependency, from the hashed lock file

$(STAMP): requirements-dev.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "Python 3.11, 3.12 or 3.13 is needed, this is " + sys.version.split()[0] + "; say make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

test: $(STAMP)  ## all tests, against real Postgres, Valkey and S3 servers
	$(BIN)/python -m pytest $(ARGS)

soak: $(STAMP)  ## everything breaks for some minutes, then every row is looked for
	$(BIN)/python -m tests.soak $(ARGS)

lint: $(STAMP)  ## ruff and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(STAMP)  ## mypy, strict
	$(BIN)/mypy

demo: $(STAMP)  ## the main job, start to end, on the embedded stack
	$(BIN)/batch-exports demo

dev: $(STAMP)  ## the whole service on the embedded stack, until interrupted
	$(BIN)/batch-exports dev

bench: $(STAMP)  ## the benchmarks, as ratios with peak memory
	$(BIN)/python -m benchmarks $(ARGS)

migrate: $(STAMP)  ## database schema to head, on BATCH_EXPORTS_DATABASE_URL
	$(BIN)/batch-exports migrate

lock:  ## rewrite the lock files; needs uv
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes --no-emit-index-url --no-header pyproject.toml -o requirements-dev.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
