# Needs Python 3.11+, make and a package index; nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: quickstart install test check bench test-mutants clean

quickstart: ## A fresh environment, then personas to rewards in a few minutes.
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet '.[local]' || \
		(echo "no prebuilt llama.cpp for this machine: going on without the small model" && $(BIN)/python -m pip install --quiet .)
	rm -rf runs/quickstart
	$(BIN)/synthagent quickstart --out runs/quickstart

$(VENV)/.dev: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

install: $(VENV)/.dev ## The package as it stands here, with what its tests need.

test: install ## The tests: no network, no GPU, no key.
	$(BIN)/python -m pytest

check: install ## Style, types, and which way imports point.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: install ## Speed and memory, each beside a floor measured in the same run.
	$(BIN)/python -m benchmarks --out benchmarks/out/bench.json

test-mutants: install ## Flips every scoring decision once: each flip must fail a test.
	$(BIN)/python -m tests.mutants

clean:
	rm -rf $(VENV) dist runs/quickstart .mypy_cache .ruff_cache .hypothesis
