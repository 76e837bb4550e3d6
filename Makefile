# Everything that is done with Tocsin, in one place. Settings pass through:
#   make run PORT=8001 DATA_DIR=/srv/tocsin

PYTHON ?= python3
UV ?= uv
VENV := .venv
RUN := $(VENV)/bin/python

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: $(VENV)/bin/tocsin ## start everything in the foreground; Ctrl-C stops it
	@$(RUN) -m app.cli run

.PHONY: demo
demo: $(VENV)/bin/tocsin ## the same, full of life, on data of its own; Ctrl-C stops it
	@$(RUN) -m demo

.PHONY: test
test: $(VENV)/.dev $(VENV)/bin/tocsin ## the whole test suite, against real PostgreSQL and Redis
	@$(RUN) -m tests

.PHONY: check
check: $(VENV)/.dev ## lint, format, types, import contracts, migrations
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(RUN) -m app.cli check-migrations

.PHONY: migration
migration: $(VENV)/.dev ## write the next migration from the models: make migration MESSAGE="..."
	$(RUN) -m app.cli new-migration "$(MESSAGE)"

.PHONY: bench
bench: $(VENV)/.dev ## the benchmarks beside their peers, one table out (twenty minutes)
	$(RUN) -m benchmarks

MINUTES ?= 10

.PHONY: faults
faults: $(VENV)/.dev ## kill it a thousand times, and count: make faults MINUTES=10 SEED=7
	$(RUN) -m tests.faults --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

# Without the address of an index in it, a lock file works behind any mirror.
COMPILE = $(UV) pip compile --universal --generate-hashes --no-emit-index-url --no-header \
	--python-version 3.11

.PHONY: lock
lock: ## resolve pyproject.toml into the two lock files again (needs uv)
	$(COMPILE) pyproject.toml --output-file requirements.lock
	$(COMPILE) --group dev --constraint requirements.lock --output-file requirements-dev.lock

# The stamps say which lock file is installed. pip compiles to bytecode while it installs, so
# that a worker that is started again is back at once.
$(VENV)/.runtime: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Tocsin needs Python 3.11 or newer; this is %d.%d. Use: make PYTHON=python3.11 ..." % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

# In place: the command `tocsin` runs this checkout. Everything it needs is installed by now, the
# build backend too, so no index is asked.
$(VENV)/bin/tocsin: pyproject.toml $(VENV)/.runtime
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@
