# One command each; `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNS ?= runs
FIGURES ?= figures
ARGS ?=
MINUTES ?= 25
ARCHIVE ?= gpu.tar.gz
STAMP := $(VENV)/installed
COMPOSER := .venv-composer

REPRODUCE = $(BIN)/python -m analysis figures --runs $(RUNS) --out $(FIGURES)/paper $(addprefix --preset ,$(PRESET))

.DEFAULT_GOAL := help
.PHONY: help install sweep test test-slow test-long test-gpu composer-env test-composer benchmark benchmark-gpu gpu lint data predict analysis report reproduce-figures dashboard sync workspace clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "  make %-17s %s\n", $$1, $$2}'

install: $(STAMP) ## make .venv and install the tested set of versions

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

sweep: install ## the default sweep on real images that need no download, then its Pareto plot (ARGS= for more overrides)
	$(BIN)/python -m freezeout -m sweeps=digits out=$(RUNS) $(ARGS)
	$(BIN)/python -m analysis pareto --runs $(RUNS) --out $(FIGURES) --sweep digits

test: install ## the tests that take minutes
	$(BIN)/python -m pytest -m 'not slow and not gpu' --numprocesses auto --dist worksteal

test-slow: install ## the longer tests
	$(BIN)/python -m pytest -m 'slow and not gpu and not long' -rs

test-long: install ## the longest ones: kills of sweeps, simulated verdicts, 10,000 runs, a real Slurm and Ray, all of torchvision
	$(BIN)/python -m pytest -m long

test-gpu: install ## parity of CUDA with the CPU and with the original code (needs a GPU)
	$(BIN)/python -m pytest -m gpu -rs

composer-env: $(COMPOSER)/installed ## make .venv-composer: MosaicML's Composer, the torch that it takes, and this project (5 GB)

$(COMPOSER)/installed: constraints-composer.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "Python 3.11 to 3.13 is needed: make PYTHON=python3.12 ...")'
	@test -x $(COMPOSER)/bin/python || $(PYTHON) -m venv $(COMPOSER)
	$(COMPOSER)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-composer.txt \
		mosaicml torch torchvision numpy pytest hypothesis
	$(COMPOSER)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

# Of the mechanism all that the plug-in stands on: the project asks for a newer torch than Composer takes. Left out: the
# list of torch's optimizers, which is the newer one's, and its SequentialLR, which then warned of itself.
ON_OLD_TORCH := freeze layers chain schedule strategies parameter_groups refusals forward fold traced tracing untraced distributed recompiling adapting adaptive

test-composer: composer-env ## the plug-in for Composer, and the mechanism on the torch that Composer takes
	$(COMPOSER)/bin/python -m pytest tests/test_plugin_composer.py tests/test_plugin_composer_resume.py tests/test_plugin_composer_adaptive.py
	$(COMPOSER)/bin/python -m pytest -k composer tests/test_examples.py tests/test_benchmark_frameworks.py
	$(COMPOSER)/bin/python -m pytest -m 'not slow' -k 'not those_of_torch and not sequence' $(ON_OLD_TORCH:%=tests/test_%.py)

benchmark: install ## step times, packed bytes and savings against plain loops and others' ways of freezing (9 to 12 minutes)
	$(BIN)/python -m benchmarks --out $(FIGURES)/benchmark $(ARGS)

benchmark-gpu: install ## the same at the paper's sizes (needs a GPU)
	$(BIN)/python -m benchmarks --device cuda --out $(FIGURES)/benchmark-gpu $(ARGS)

gpu: ## the first half hour on a GPU without a network, in parts; again and again (MINUTES=8 WHEELS=wheels SWEEP= DATA=; docs/gpu.md)
	$(or $(wildcard $(BIN)/python),$(PYTHON)) -m benchmarks.gpu --minutes $(MINUTES) --archive $(ARCHIVE) \
		$(addprefix --wheels ,$(WHEELS)) $(addprefix --sweep ,$(SWEEP)) $(if $(DATA),--data $(DATA)) $(ARGS)

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

report: install ## everything that RUNS show as one interactive page in FIGURES (the kept records where there are no runs)
	$(BIN)/python -m analysis report $(addprefix --runs ,$(or $(filter-out runs,$(RUNS)),$(wildcard runs))) --out $(FIGURES) $(ARGS)

reproduce-figures: install ## redraw the paper's figures, training what is missing (PRESET=cached, quick or paper)
	@sweeps=$$($(REPRODUCE) --sweeps) || exit $$?; for sweep in $$sweeps; do \
		$(BIN)/python -m freezeout -m sweeps=$$sweep out=$(RUNS) $(ARGS) || \
		{ code=$$?; [ $$code -eq 1 ] || exit $$code; }; \
	done  # 1: some runs failed, and the figures are drawn without them
	@$(REPRODUCE)

dashboard: install ## look at the runs' W&B logs in the terminal
	$(BIN)/wandb leet $(or $(WANDB_DIR),$(RUNS))/wandb

sync: install ## upload the W&B logs of RUNS that were kept offline; again, what is new (needs `wandb login`)
	$(BIN)/python -m freezeout.run.sync $(RUNS) $(ARGS)

workspace: install ## make a workspace at W&B with the panels that matter (ENTITY= PROJECT=; needs `wandb login`)
	$(BIN)/python -m freezeout.run.workspace $(addprefix --entity ,$(ENTITY)) $(addprefix --project ,$(PROJECT))

clean: ## remove the environment and caches; runs and figures stay
	rm -rf $(VENV) $(COMPOSER) build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
