# The developer's and the newcomer's commands. `make preflight` and `make test` need nothing but make and Python >= 3.11.
#
#   make preflight   set up .venv (once) and check a local gloo world
#   make test        the same set-up, then all tests
#   make lint        ruff, formatter, mypy, layer contracts
#   make bench       figures against torchrun and torch.multiprocessing.spawn
#
# ARGS="..." is passed on, PYTHON=... chooses the interpreter, PIP_ARGS="..." is passed to pip (for instance the
# index that has the CPU build of torch for your system), JOBS=n sets how many test processes run at once.

PYTHON ?= python3
JOBS ?= 2
ARGS ?=
PIP_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint requirements/constraints.txt $(PIP_ARGS)

.PHONY: preflight test setup format bench clean lint lint-ruff lint-format lint-types lint-layers lint-schema

preflight: $(READY)
	@$(BIN)/commcheck preflight $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(ARGS)

setup: $(READY)

# With make -k all of them report, whatever the first one finds.
lint: lint-ruff lint-format lint-types lint-layers lint-schema

lint-ruff: $(READY)
	$(BIN)/ruff check .

lint-format: $(READY)
	$(BIN)/ruff format --check .

lint-types: $(READY)
	$(BIN)/mypy

lint-layers: $(READY)
	$(BIN)/lint-imports --no-logo

lint-schema: $(READY)
	$(BIN)/python -m commcheck.report.schema --check
	$(BIN)/commcheck scenario check --schema | cmp - commcheck/scenarios/commcheck-scenario-1.json
	$(BIN)/commcheck scenario check

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)
	$(BIN)/python benchmarks/run.py $(ARGS)

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# The stamp is written last: an interrupted set-up is done again, a finished one costs nothing. torch comes first and
# pinned, so that nothing else can draw in another build of it.
$(READY): pyproject.toml requirements/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "commcheck needs Python 3.11 or newer; this is %s. Try make PYTHON=python3.12" % sys.version.split()[0])'
	@echo "setting up $(VENV) (once; the CPU build of torch is a download of about 200 MB)" >&2
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@$(PIP) torch
	@$(PIP) --editable '.[dev]'
	@touch $@
