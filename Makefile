# make demo    set everything up and run the demo (a few minutes)
# make test    set everything up and run lint, types and the tests
# make help    all targets

VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/set-up
# A file of tests stays in one process, and the files that take longest (tests/durations.json) begin first.
SIDE_BY_SIDE := -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder

.PHONY: help demo gui test test-all durations faults lint types bench screenshots setup clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

$(STAMP): pyproject.toml resources/constraints.txt resources/system-libraries.txt resources/install/setup.sh
	sh resources/install/setup.sh $(VENV) xvfb
	@touch $(STAMP)

setup: $(STAMP) ## virtual environment, packages, system libraries

demo: $(STAMP) ## train, generate, attack, certify on real digits; WORKSPACE=DIR chooses the folder
	$(BIN)/difrob demo $(if $(WORKSPACE),--workspace $(WORKSPACE))

gui: $(STAMP) ## open the window
	$(BIN)/difrob gui $(if $(WORKSPACE),--workspace $(WORKSPACE))

lint: $(STAMP) ## ruff: rules and format; imports go down only, and no two modules import each other
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -q tests/test_imports.py -k "knows or each_other"

types: $(STAMP) ## mypy on the engine and the window
	$(BIN)/mypy

test: lint types ## lint, types, and the tests that take minutes, on all cores
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

test-all: lint types ## also the long tests, and those that need a GPU where there is one
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not gpu"
	$(BIN)/python -m pytest -m gpu

durations: $(STAMP) ## measure anew what the tests take: writes tests/durations.json
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) --record-durations

faults: $(STAMP) ## kill, fill disks, feed garbage; half an hour; FAULTS="--worker-kills 20 ..." chooses how much
	$(BIN)/python -m tests.faults $(FAULTS)

bench: $(STAMP) ## what is measured: ratios against a floor or a baseline in the same run; fails when a goal is missed
	missed=0; for script in tests/benchmarks/bench_*.py; do $(BIN)/python $$script || missed=1; done; exit $$missed

screenshots: $(STAMP) ## the pictures of the README, from the runs of a demo
	$(BIN)/difrob demo --headless --workspace build/pictures
	$(BIN)/difrob serve --workspace build/pictures --idle-seconds 60 & sleep 5
	$(BIN)/python -m difrob_gui.screenshots --workspace build/pictures --out resources/pictures --theme both --size 1440x960

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
