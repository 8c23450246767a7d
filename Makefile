# Two commands: `make sweep` runs the default study, `make test` runs every check and test.
# Both create .venv first; PYTHON=python3.12 make sweep chooses the interpreter.

PYTHON ?= python3
BIN := .venv/bin

sweep: .venv/installed-demo
	. $(BIN)/activate && python -m synthaug.train -m mix=real,55,64,73,82 seed=0,1,2

# Checks and tests beside each other: types are checked on one core, and much of a test waits.
test: .venv/installed-dev
	$(MAKE) -j2 check pytest

pytest: .venv/installed-dev
	$(BIN)/python -m pytest

# A real Slurm and a real Ray on this machine; the former as root, with Debian's slurm-wlm.
cluster: .venv/installed-dev
	$(BIN)/python -m pip install --quiet --editable '.[slurm,ray]'
	$(BIN)/python -m pytest -n0 -m cluster

# What the pre-commit hook runs as well.
check: .venv/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "synthaug needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) --version): make PYTHON=<python> sweep"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/installed-%: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	@touch $@

.PHONY: sweep test pytest cluster check
