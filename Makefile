# One command each; `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNS ?= runs
FIGURES ?= figures
ARGS ?=
STAMP := $(VENV)/installed

.DEFAULT_GOAL := help
.PHONY: help install sweep test test-slow lint data predict analysis dashboard clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(STAMP) ## make .venv and install the tested set of versions

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

sweep: install ## the default sweep on real images that need no download, then its Pareto plot (ARGS= for more overrides)
	$(BIN)/python -m freezeout -m sweeps=digits out=$(RUNS) $(ARGS)
	$(BIN)/python -m analysis pareto --runs $(RUNS) --out $(FIGURES) --sweep digits

test: install ## the tests that take minutes
	$(BIN)/python -m pytest -m 'not slow and not gpu'

test-slow: install ## the longer tests
	$(BIN)/python -m pytest -m 'slow and not gpu'

lint: install ## ruff check, ruff format, mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

data: install ## fetch and check a data set once, before many jobs want it (DATASET=cifar10)
	$(BIN)/python -m freezeout.data.fetch $(or $(DATASET),cifar10) $(ARGS)

predict: install ## what strategies would save, without training (ARGS='model=wrn_40_4 dataset=cifar100')
	$(BIN)/python -m freezeout.predict $(ARGS)

analysis: install ## redraw the Pareto plots of every sweep in RUNS
	$(BIN)/python -m analysis pareto --runs $(RUNS) --out $(FIGURES)

dashboard: install ## look at the runs' W&B logs in the terminal
	$(BIN)/wandb leet $(RUNS)/wandb

clean: ## remove the environment and caches; runs and figures stay
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
