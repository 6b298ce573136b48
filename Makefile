# Needs Python 3.11+, make and a package index; nothing else.
PYTHON ?= python3
# What pip is asked for when training is tested; a CPU build is enough. See README, "Training".
TORCH_SPEC ?= torch
VENV ?= .venv
# verl pins its own transformers, and more: its tests get an environment of their own.
VERL_VENV ?= .venv-verl
# Peers of the wires, which do not get along with one another.
WIRES_VENV ?= .venv-wires
RAY_VENV ?= .venv-ray
OPENENV_VENV ?= .venv-openenv
VERIFIERS_VENV ?= .venv-verifiers
VERIFIERS_SPEC := verifiers>=0.4,<0.5
WIRES_OUT := $(CURDIR)/runs/wires
BIN := $(VENV)/bin

.PHONY: quickstart install test test-train test-harness test-verl test-ray test-wires test-viewer train-demo check bench bench-serve test-mutants clean

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

bench-serve: install ## The servers of episodes under 2,000 sessions at once, beside OpenEnv and verifiers: wants a quiet machine.
	$(call peer,$(OPENENV_VENV),[openenv],)
	$(call peer,$(VERIFIERS_VENV),,"$(VERIFIERS_SPEC)")
	$(BIN)/python -m benchmarks.serve --out docs/results/serve-load.json \
		--openenv $(OPENENV_VENV)/bin/python --verifiers $(VERIFIERS_VENV)/bin/python

test-train: install ## Training, with torch: minutes on a processor, no GPU.
	$(BIN)/python -c "import torch" 2>/dev/null || $(BIN)/python -m pip install --quiet $(TORCH_SPEC)
	$(BIN)/python -m pip install --quiet --editable '.[dev,train]'
	$(BIN)/python -m pytest tests/torch

test-verl: ## Training through verl, with Ray and without a GPU: a few minutes.
	test -x $(VERL_VENV)/bin/python || $(PYTHON) -m venv $(VERL_VENV)
	$(VERL_VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VERL_VENV)/bin/python -c "import torch" 2>/dev/null || $(VERL_VENV)/bin/python -m pip install --quiet $(TORCH_SPEC)
	$(VERL_VENV)/bin/python -m pip install --quiet --editable '.[dev,verl]'
	$(VERL_VENV)/bin/python -m pytest tests/verl

test-ray: ## Workers of a Ray cluster, killed and replaced: minutes, in an environment of its own.
	test -x $(RAY_VENV)/bin/python || $(PYTHON) -m venv $(RAY_VENV)
	$(RAY_VENV)/bin/python -m pip install --quiet --upgrade pip
	$(RAY_VENV)/bin/python -m pip install --quiet --editable '.[dev,ray]'
	$(RAY_VENV)/bin/python -m pytest tests/ray

test-harness: install ## The official harnesses, with doubles of models: installs both, then minutes without a GPU.
	$(BIN)/python -m synthagent.evaluation.harness_setup bfcl tau2
	$(BIN)/python -m pytest tests/harness -m slow

test-viewer: install ## The viewer's pages in Debian's chromium; screenshots in runs/viewer-pages.
	command -v chromium >/dev/null || (apt-get update -qq && apt-get install -y -qq chromium)
	$(BIN)/python -m pip install --quiet "playwright>=1.49" "axe-playwright-python>=0.1.4"
	$(BIN)/python -m pytest tests/viewer -m "slow or not slow" -s

define peer
	test -x $(1)/bin/python || $(PYTHON) -m venv $(1)
	$(1)/bin/python -m pip install --quiet --upgrade pip
	$(1)/bin/python -m pip install --quiet --editable '.$(2)' $(3)
endef

define peer-tests
	$(call peer,$(1),$(2),pytest $(3))
	SYNTHAGENT_WIRES_OUT=$(WIRES_OUT) $(1)/bin/python -m pytest $(4)
endef

test-wires: ## Every wire against its real peer, each in an environment of its own: the same rewards through all of them.
	rm -rf $(WIRES_OUT)
	$(call peer-tests,$(WIRES_VENV),[mcp],"schemathesis>=4",tests/wires)
	$(call peer-tests,$(OPENENV_VENV),[openenv],,tests/wires/test_openenv_wire.py)
	$(call peer-tests,$(VERIFIERS_VENV),,"$(VERIFIERS_SPEC)",tests/wires/test_verifiers_wire.py)
	$(MAKE) --no-print-directory install
	$(BIN)/python -c "import torch" 2>/dev/null || $(BIN)/python -m pip install --quiet $(TORCH_SPEC)
	$(BIN)/python -m pip install --quiet --editable '.[dev,train]'
	SYNTHAGENT_WIRES_OUT=$(WIRES_OUT) $(BIN)/python -m pytest tests/torch/test_trl_wire.py
	test -x $(VERL_VENV)/bin/python || $(PYTHON) -m venv $(VERL_VENV)
	$(VERL_VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VERL_VENV)/bin/python -c "import torch" 2>/dev/null || $(VERL_VENV)/bin/python -m pip install --quiet $(TORCH_SPEC)
	$(VERL_VENV)/bin/python -m pip install --quiet --editable '.[dev,verl]'
	SYNTHAGENT_WIRES_OUT=$(WIRES_OUT) $(VERL_VENV)/bin/python -m pytest tests/verl/test_verl_wire.py
	$(BIN)/python -m tests.wires.collect $(WIRES_OUT) docs/results/wires.json

train-demo: install ## A small model learns: hours on two cores, in stages that are resumed. STAGE=sft does one.
	$(BIN)/python -c "import torch" 2>/dev/null || $(BIN)/python -m pip install --quiet $(TORCH_SPEC)
	$(BIN)/python -m pip install --quiet --editable '.[dev,train,report]'
	$(BIN)/python -m examples.train_demo --out runs/train-demo $(foreach stage,$(STAGE),--stage $(stage))

test-mutants: install ## Flips every scoring decision once: each flip must fail a test.
	$(BIN)/python -m tests.mutants

clean:
	rm -rf $(VENV) $(VERL_VENV) $(RAY_VENV) $(WIRES_VENV) $(OPENENV_VENV) $(VERIFIERS_VENV) dist runs/quickstart .mypy_cache .ruff_cache .hypothesis
