SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
# Imports are most of a short command; let Python keep its compiled modules.
export PYTHONDONTWRITEBYTECODE :=
export DO_NOT_TRACK := 1

.PHONY: run check test lint fast-tests all-tests docs wheel ui mlflow install peers lock csv-page messages clean

## Live through 2013 at New York's airports: history, training, then October to December.
run: install
	@$(BIN)/ml-assets run flights --model flight_delay --train-as-of 2013-10-01

## The fast lane, before each push: style, import contracts, types, and every test that is not marked slow, properties
## with a quarter of their examples.
check: install
	@$(MAKE) --no-print-directory -j 2 lint fast-tests

## Every test; and beside them style, import contracts and types. One worker more than cores: those that watch a daemon or
## a server wait for much of their time.
test: install
	@$(MAKE) --no-print-directory -j 2 lint all-tests

all-tests: install
	@# One process compiles the tests of a fresh clone; each worker would do so by itself.
	@[ -e ml_assets_tests/__pycache__ ] || $(BIN)/python -m pytest --collect-only -q > /dev/null
	$(BIN)/python -m pytest -n $$(($$(getconf _NPROCESSORS_ONLN) + 1)) --dist loadfile --no-loadscope-reorder --durations 30

lint: install
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/basedpyright

fast-tests: install
	$(BIN)/python -m pytest -q -m "not slow" -n auto --dist loadfile --no-loadscope-reorder

## The documentation as a folder of pages, build/site; warnings are errors, and nothing is fetched.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

## The platform as a package, in dist/. What an earlier build left would get into it.
wheel: install
	rm -rf build/lib build/bdist.*
	$(BIN)/uv build --quiet --wheel --no-build-isolation --python $(BIN)/python --out-dir dist

## Dagster's UI on 127.0.0.1:3000.
ui: install
	@$(BIN)/ml-assets ui

## MLflow's UI on 127.0.0.1:5000.
mlflow: install
	@$(BIN)/ml-assets mlflow

install: .venv/installed

# The pinned set is installed as it stands: resolving it again would bring back an XGBoost that is too old.
.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
		|| { echo "Python 3.11 or 3.12 is needed; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

## The tools that models and features are handed over to, in an environment of their own.
peers: .venv-peers/installed

.venv-peers/installed: requirements-peers.lock .venv/installed
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-peers
	$(BIN)/uv pip install --quiet --python .venv-peers/bin/python --no-deps --require-hashes -r requirements-peers.lock
	@touch $@

## Rewrite requirements.lock from pyproject.toml, and that of the peers: names, versions and hashes only.
lock:
	$(BIN)/uv pip compile pyproject.toml --extra demo --group test --universal --python-version 3.11 --generate-hashes \
		--no-annotate --no-header --output-file requirements.lock --quiet
	# MLServer caps fastapi without needing to, and feast wants a starlette that those do not know.
	printf 'fastapi>=0.124\nstarlette>=1.0.1\n' | $(BIN)/uv pip compile requirements-peers.txt --override - --universal \
		--python-version 3.11 --generate-hashes --no-annotate --no-header --output-file requirements-peers.lock --quiet

## Write the table of CSV files in docs/csv.md from the cases that are tested.
csv-page:
	$(BIN)/python -m ml_assets_tests.sources.test_sources_dialects

## Rewrite the messages of gRPC from their .proto.
messages:
	cd ml_assets/serving/protocols/open_inference/messages && $(abspath $(BIN))/python -m grpc_tools.protoc -I. \
		--descriptor_set_out=open_inference.desc open_inference.proto

clean:
	rm -rf .venv .venv-peers .ml_assets
