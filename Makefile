# Needs Python 3.11 or newer, and makes everything else it needs by itself.
#
#   PYTHON=python3.13   the interpreter to use; without it the first that works
#   VENV=.venv          where the environment is kept
#   ARGS="-k fork -x"   more arguments for pytest or for the benchmarks
#   CORES=1             processes that run tests side by side; without it one for each core

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

VENV ?= .venv
TYPESCRIPT := 7.0.2
PY := $(VENV)/bin/python
# What shares a costly fixture stays together, and is begun in the order of tests/conftest.py. One
# process shows tests as they run, and takes --pdb.
CORES ?= logical
SPREAD := $(if $(filter 1,$(CORES)),,--numprocesses $(CORES) --dist loadscope --no-loadscope-reorder)
# Tried by running them: a name on the PATH may be a shim with nothing behind it.
PYTHONS := $(or $(PYTHON),python3.11 python3.12 python3.13 python3.14 python3 python)

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Modules are compiled once, whatever the environment says: tests start hundreds of processes.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-20s%s\n", $$1, $$2 }'

.PHONY: serve
serve: $(VENV)/.serve ## run the server; STORE=.mythline PORT=8000 HOST=127.0.0.1 AGENT=module:agent
	@exec $(VENV)/bin/mythline serve $(if $(STORE),--store '$(STORE)') \
	    $(if $(PORT),--port '$(PORT)') $(if $(HOST),--host '$(HOST)') \
	    $(if $(AGENT),--agent '$(AGENT)')

.PHONY: test
test: $(VENV)/.test ## run the tests
	$(PY) -m pytest $(SPREAD) $(ARGS)

.PHONY: test-slow
test-slow: $(VENV)/.test ## run the long batteries
	$(PY) -m pytest -m slow -o faulthandler_timeout=0 $(ARGS)

.PHONY: coverage
coverage: $(VENV)/.test ## run the tests and report what they do not reach
	$(PY) -m coverage erase
	$(PY) -m coverage run -m pytest $(SPREAD) $(ARGS)
	$(PY) -m coverage combine --quiet
	$(PY) -m coverage report

.PHONY: check
check: $(VENV)/.dev ## lint, formatting, types, and who imports whom
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m pyright --pythonpath $(PY)
	$(VENV)/bin/lint-imports

.PHONY: check-page
check-page: $(VENV)/.tsc ## types of the page's modules; needs npm
	$(VENV)/node/node_modules/.bin/tsc -p jsconfig.json

.PHONY: format
format: $(VENV)/.dev ## put the code into shape
	$(PY) -m ruff check --fix
	$(PY) -m ruff format

.PHONY: benchmarks
benchmarks: $(VENV)/.test ## measure; the numbers depend on the machine
	$(PY) -m benchmarks $(ARGS)

.PHONY: clean
clean: ## remove everything that was made, but no sessions
	rm -rf .venv .venv-* build dist htmlcov .coverage .coverage.* \
	    .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests -type d -name __pycache__ -prune -exec rm -rf {} +

.PHONY: constraints
constraints: ## choose the versions in constraints.txt anew
	rm -rf .venv-constraints
	: > constraints.txt
	$(MAKE) VENV=.venv-constraints .venv-constraints/.dev
	{ printf '# The versions that are tested; make constraints chooses them anew.\n'; \
	    .venv-constraints/bin/python -m pip freeze --exclude-editable; } > constraints.txt
	rm -rf .venv-constraints

# ------------------------------------------------------------------- the environment
#
# Three sizes in one directory, each a stamp file: .serve (what users install), .test
# and .dev (with the linters). A larger one brings the smaller ones.

$(VENV)/.serve: pyproject.toml constraints.txt | $(PY)
	$(call install,.[postgres])
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(PY)
	$(call install,.[test])
	@touch $(VENV)/.serve $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(PY)
	$(call install,.[dev])
	@touch $(VENV)/.serve $(VENV)/.test $@

# A tool of development alone: the page is served as it is written.
$(VENV)/.tsc: $(VENV)/.dev
	@npm install --silent --no-save --no-package-lock --prefix $(VENV)/node typescript@$(TYPESCRIPT)
	@touch $@

# Without pip at first: Debian leaves ensurepip out of python3, and then a plain
# `python -m venv` stops half-way.
$(PY):
	@for python in $(PYTHONS); do \
	    "$$python" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	        || continue; \
	    echo "Making $(VENV) with $$("$$python" --version)"; \
	    exec "$$python" -m venv --clear --without-pip $(VENV); \
	done; \
	echo "No Python 3.11 or newer with the venv module among: $(PYTHONS)." >&2; \
	echo "Install python3 (on Debian also python3-venv), or name one: make PYTHON=..." >&2; \
	exit 1

# $(call install,TARGET): by the environment's own pip, or else by any pip at hand.
define install
@"$(PY)" -m pip --version >/dev/null 2>&1 || "$(PY)" -m ensurepip --default-pip >/dev/null 2>&1 || :; \
for pip in "$(PY) -m pip" $(foreach p,$(PYTHONS) python3 python,"$(p) -m pip --python $(PY)") \
    "pip3 --python $(PY)" "pip --python $(PY)"; do \
    $$pip --version >/dev/null 2>&1 || continue; \
    echo "Installing $(1) into $(VENV)"; \
    exec $$pip install --quiet --no-input -c constraints.txt -e '$(1)'; \
done; \
echo "This Python has neither ensurepip nor pip 22.3 or newer." >&2; \
echo "Install one of them (on Debian: apt-get install python3-venv), then try again." >&2; \
exit 1
endef
