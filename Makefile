# What one can do here. `make` alone lists the targets: each has its line after the two hashes.

.DEFAULT_GOAL := help
SHELL := /bin/sh
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# `make lock` alone needs uv; setting up needs nothing but Python and make.
UV ?= uv
LOCK_OPTIONS := --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --quiet
LOCK := $(UV) pip compile pyproject.toml --group build $(LOCK_OPTIONS)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# ── setting up ───────────────────────────────────────────────────────────────────────────────────────────────────

# A stamp is written last: an interrupted step is done again, a finished one never. A changed lock is newer than its stamp.
$(VENV)/.made:
	@python=""; \
	for candidate in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
		if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1; then \
			python="$$candidate"; break; \
		fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "Costsite needs Python 3.11, 3.12 or 3.13 with its venv module, and found none." >&2; \
		echo "Install one (Debian: apt install python3 python3-venv), or name yours: make setup PYTHON=/path/to/python3.12" >&2; \
		exit 1; \
	fi; \
	echo "Making $(VENV) with $$("$$python" --version)"; \
	"$$python" -m venv --clear $(VENV)
	@touch $@

$(VENV)/.site: requirements.lock pyproject.toml langchain_plugin/_version.py | $(VENV)/.made
	@echo "Installing the site's locked libraries (a minute or two the first time)"
	@$(PIP_INSTALL) --require-hashes -r requirements.lock
	@$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.tests: requirements-dev.lock $(VENV)/.site
	@echo "Installing what the tests and checks need"
	@$(PIP_INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@

.PHONY: setup setup-tests lock
setup: $(VENV)/.site ## Make .venv with the locked libraries (Python 3.11 to 3.13)
	@echo "Ready. Next: make run"

setup-tests: $(VENV)/.tests ## Add what tests and checks need

lock: ## Remake the locks from pyproject.toml (needs uv; UPGRADE=1 takes the newest versions)
	$(LOCK) $(if $(UPGRADE),--upgrade) --extra server --extra demo -o requirements.lock
	$(LOCK) $(if $(UPGRADE),--upgrade) --extra server --extra demo --extra dev -c requirements.lock -o requirements-dev.lock
	$(UV) pip compile requirements-oldest.in --upgrade --resolution lowest-direct $(LOCK_OPTIONS) -o requirements-oldest.lock

# ── what others wrote ────────────────────────────────────────────────────────────────────────────────────────────

LOCKED = $$(sed -n 's/^\([a-z0-9.-]*\)==.*/\1/p' requirements.lock)
AUDIT := $(BIN)/pip-audit --vulnerability-service osv --strict --require-hashes --disable-pip --progress-spinner off
FOUND := $(VENV)/audit

.PHONY: licences audit
licences: $(VENV)/.tests ## List in docs/licences.md what the locked libraries say of their licences (after `make lock`)
	@grep -v '^|' docs/licences.md > $(VENV)/licences
	@$(BIN)/pip-licenses --format=markdown --with-urls --packages $(LOCKED) | grep -E '^\|( [^ ]|-)' >> $(VENV)/licences
	@mv $(VENV)/licences docs/licences.md

# What is found is written to a file. Without one, pip-audit failed before it had looked at everything.
audit: $(VENV)/.tests ## Look the locked libraries up among known vulnerabilities, at osv.dev
	@rm -f $(FOUND); \
	if $(AUDIT) -r requirements-dev.lock --output $(FOUND) $(ARGS) 2> $(FOUND).said; then \
		echo "Nothing is known against the locked libraries."; \
	elif [ -s $(FOUND) ]; then \
		cat $(FOUND); exit 1; \
	else \
		tail -n 1 $(FOUND).said >&2; echo "Not audited: the data could not be read. Nothing is known, good or bad." >&2; exit 2; \
	fi

# ── running ──────────────────────────────────────────────────────────────────────────────────────────────────────

.PHONY: run serve
run: $(VENV)/.site ## Run the site with a month of demo data, in var/demo, and a real agent (PORT=8000)
	@COSTSITE_DEMO=true $(BIN)/python manage.py demo $(if $(PORT),--port $(PORT))

serve: $(VENV)/.site ## Run the site with your own data: web and background work (PORT=8000)
	@$(BIN)/python manage.py serve --migrate $(if $(PORT),--port $(PORT))

# ── testing ──────────────────────────────────────────────────────────────────────────────────────────────────────

.PHONY: test test-sqlite test-postgresql check format test-oldest
test: test-sqlite test-postgresql ## Run the tests on both databases (ARGS="-k budget" passes on to pytest)

test-sqlite: $(VENV)/.tests ## Run the tests on SQLite
	@$(BIN)/python -m pytest $(ARGS)

test-postgresql: $(VENV)/.tests ## Run all that needs a database again, on a PostgreSQL server of its own
	@$(BIN)/python -m tests.postgresql pytest $(ARGS)

check: $(VENV)/.tests ## Lint, formatting, types and import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

# The oldest libraries lie over the others: they are found first, and nothing else is installed twice.
$(VENV)/.oldest: requirements-oldest.lock $(VENV)/.tests
	@echo "Installing the lowest LangChain the plugin supports"
	@rm -rf $(VENV)/oldest
	@$(PIP_INSTALL) --require-hashes --no-warn-conflicts --target $(VENV)/oldest -r requirements-oldest.lock
	@touch $@

test-oldest: $(VENV)/.oldest ## Run the plugin's tests with the lowest langchain-core it supports
	@PYTHONPATH=$(VENV)/oldest $(BIN)/python -c 'import langchain_core; print("langchain-core", langchain_core.__version__)'
	@PYTHONPATH=$(VENV)/oldest $(BIN)/python -m pytest -q -p no:cacheprovider -m 'not newer_langchain' tests/langchain_plugin tests/wire $(ARGS)

.PHONY: bench soak
# Another tool's handler stands beside the callback where OTHERS is a Python that has langfuse and
# openinference-instrumentation-langchain.
bench: $(VENV)/.tests ## Measure, and write docs/benchmarks.md (QUICK=1, LARGE=1 for ten million calls, ONLY=ingest)
	@$(BIN)/python benchmarks/report.py $(if $(QUICK),--quick) $(if $(LARGE),--large) $(if $(ONLY),--only "$(ONLY)") \
		$(if $(OTHERS),--other-handlers $(OTHERS)) $(ARGS)

soak: $(VENV)/.tests ## Steady load on a real site; does memory stay flat? (MINUTES=30 RATE=50)
	@$(BIN)/python benchmarks/soak.py $(if $(MINUTES),--minutes $(MINUTES)) $(if $(RATE),--rate $(RATE)) $(ARGS)

.PHONY: chaos
chaos: $(VENV)/.tests ## Kill everything, move every clock, then read the books (SECONDS=120 SEED=…)
	@$(BIN)/python -m tests.chaos.run $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) $(ARGS)

format: $(VENV)/.tests ## Format the code and mend what lint can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
