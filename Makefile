# `make run` and `make test` need Python 3.11 or later with venv, and nothing else.
# README.md has the plain commands behind these for machines without make.

PYTHON =
HOST = 127.0.0.1
PORT ?= 8000
SEED = 1
MINUTES = 5
UPGRADE =

VENV = .venv
RUN = $(VENV)/bin/python -m
INSTALL = $(RUN) pip install --quiet --disable-pip-version-check --require-hashes
COMPILE = $(VENV)/bin/uv pip compile --universal --python-version 3.11 \
	--generate-hashes --no-strip-extras --no-emit-index-url --no-header --no-config --quiet $(UPGRADE)
LOCK = $(COMPILE) pyproject.toml --extra valkey

# Every test that has no command of its own: the fast suite, and the slow tests.
WHOLE = -n auto -m "not (browser or process or clients or fuzz)"

.PHONY: help run demo test test-security mutations experiments conformance test-fuzz fuzz test-browser test-clients screens check lint lint-container types contracts coverage format docs translations environment environment-clients bench load lock clean npm
.NOTPARALLEL:
.DELETE_ON_ERROR:

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' Makefile | expand -t 16

run: $(VENV)/.runtime ## the server on http://127.0.0.1:8000 (make run PORT=9001)
	@exec $(RUN) uvicorn combined_app:app --host $(HOST) --port $(PORT) \
		--no-access-log --timeout-keep-alive 75 --timeout-graceful-shutdown 10

demo: $(VENV)/.runtime ## start a server, let a client sign in and call a tool, stop
	@exec $(RUN) demo.start

test: $(VENV)/.development ## the whole fast suite (make check runs the slow ones too)
	@$(RUN) pytest -n auto

test-security: $(VENV)/.development ## every test that docs/threat-model.md names
	@$(RUN) pytest $(WHOLE) tests/security \
		$$(grep -oE '`[a-z0-9_]+\.py::[a-z0-9_]+' docs/threat-model.md | sed 's|^`|tests/|' | sort -u)

mutations: $(VENV)/.development ## take defences away, one at a time, and see that a test notices
	@$(RUN) tests.security.mutations

# tests/process is named because it defines --seed, which pytest has to know before it looks around.
experiments: $(VENV)/.development ## crashes, full disks, replicas: a table (make experiments SEED=7)
	@$(RUN) pytest -n 2 -m process --seed=$(SEED) tests/process tests

conformance: $(VENV)/.conformance ## the official MCP conformance runner (Debian: apt install npm)
	@$(RUN) tests.conformance.run

test-fuzz: $(VENV)/.fuzz ## everything that draws its inputs, from a fixed seed
	@$(RUN) tests.fuzz.run --short

fuzz: $(VENV)/.fuzz ## the same with other inputs every time (make fuzz MINUTES=60)
	@$(RUN) tests.fuzz.run --minutes $(MINUTES)

test-browser: $(VENV)/.browser ## the pages in a real browser (Debian: apt install chromium npm)
	@$(RUN) pytest -n auto -m browser tests/browser

test-clients: environment-clients ## real clients from npm and PyPI against a real server (apt install npm)
	@$(RUN) pytest -n 4 -m clients tests/clients

screens: $(VENV)/.browser ## pictures of the pages, into docs/screens (apt install fonts-noto-cjk too)
	@$(RUN) tests.browser.screens docs/screens

check: lint types contracts coverage ## everything that must hold before a commit lands

lint: $(VENV)/.development ## ruff: rules and format
	@$(RUN) ruff check
	@$(RUN) ruff format --check

lint-container: $(VENV)/.container ## hadolint, and the compose files' schema (apt install npm)
	@$(VENV)/container/bin/hadolint Dockerfile
	@tests/container/node_modules/.bin/dclint --config tests/container/dclint.yaml --max-warnings 0 \
		compose.yaml compose.replicas.yaml

types: $(VENV)/.development ## mypy
	@$(RUN) mypy

contracts: $(VENV)/.development ## who may import whom
	@$(VENV)/bin/lint-imports --no-logo

coverage: $(VENV)/.development ## the fast suite and the slow tests, and whether they visit every branch
	@$(RUN) pytest $(WHOLE) --cov --cov-report=term-missing:skip-covered

format: $(VENV)/.development ## let ruff mend what it can
	@$(RUN) ruff check --fix
	@$(RUN) ruff format

docs: $(VENV)/.runtime ## bring docs/settings.md up to the settings
	@$(RUN) settings > docs/settings.md

translations: $(VENV)/.development ## bring the catalogues up to the templates
	@texts=$$(mktemp) && trap 'rm -f "$$texts"' EXIT && cd templates && \
	$(CURDIR)/$(RUN) babel.messages.frontend -q extract -F locale/babel.cfg --add-location file \
		--project Latchgate --version 1 --msgid-bugs-address "" -o "$$texts" . && \
	$(CURDIR)/$(RUN) babel.messages.frontend -q update -N --ignore-obsolete -w 100 -i "$$texts" -d locale && \
	$(CURDIR)/$(RUN) babel.messages.frontend -q compile -d locale

environment: $(VENV)/.development ## the environment and nothing more

environment-clients: $(VENV)/.clients ## the clients, in environments of their own

bench: $(VENV)/.bench ## side by side with others, the short form (apt install npm)
	@$(VENV)/bench/bin/python -m bench --short --results bench/results

load: $(VENV)/.bench ## five hundred clients for a minute, some of them hostile
	@$(VENV)/bench/bin/python -m bench.load --json bench/results/load.json

lock: $(VENV)/.development ## every lock file (make lock UPGRADE=--upgrade for the newest of everything)
	@$(LOCK) --output-file requirements.lock
	@$(LOCK) --group test --group dev --constraints requirements.lock \
		--output-file requirements-dev.lock
	@$(COMPILE) --group browser --constraints requirements-dev.lock \
		--output-file requirements-browser.lock
	@$(COMPILE) --group container --output-file requirements-container.lock
	@$(COMPILE) --group fuzz --output-file requirements-fuzz.lock
	@$(LOCK) --group bench --constraints requirements.lock --output-file requirements-bench.lock
	@$(COMPILE) --group clients --output-file requirements-clients.lock
	@$(COMPILE) --group clients-1x --output-file requirements-clients-1x.lock

clean: ## remove what these commands made, the environment too
	rm -rf $(VENV) .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache \
		.ruff_cache bench/results bench/node_modules tests/*/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

npm:
	@command -v npm >/dev/null || { echo "This needs npm (Debian, Ubuntu: apt install npm)" >&2; exit 1; }

# The environment is made once; an empty file beside it says that a lock file is installed.

$(VENV)/.runtime: requirements.lock | $(VENV)/bin/python
	$(INSTALL) -r requirements.lock
	@touch $@

$(VENV)/.development: requirements.lock requirements-dev.lock | $(VENV)/bin/python
	$(INSTALL) -r requirements-dev.lock
	@touch $(VENV)/.runtime $@

$(VENV)/.browser: requirements-browser.lock tests/browser/package-lock.json $(VENV)/.development | npm
	$(INSTALL) -r requirements-browser.lock
	npm ci --prefix tests/browser --ignore-scripts --silent
	@touch $@

$(VENV)/.conformance: tests/conformance/package-lock.json $(VENV)/.development | npm
	npm ci --prefix tests/conformance --ignore-scripts --silent
	@touch $@

# Each kind of client beside the others, because some need what others exclude.
$(VENV)/.clients: requirements-clients.lock requirements-clients-1x.lock \
		tests/clients/package-lock.json $(VENV)/.development | npm
	@for group in clients clients-1x; do \
		$(RUN) venv --without-pip $(VENV)/$$group && \
		$(VENV)/bin/uv pip sync --quiet --no-config --compile-bytecode --require-hashes \
			--python $(VENV)/$$group/bin/python requirements-$$group.lock || exit; \
	done
	npm ci --prefix tests/clients --silent
	@touch $@

$(VENV)/.container: requirements-container.lock tests/container/package-lock.json $(VENV)/.development | npm
	@$(RUN) venv --without-pip $(VENV)/container
	@$(VENV)/bin/uv pip sync --quiet --no-config --compile-bytecode --require-hashes \
		--python $(VENV)/container/bin/python requirements-container.lock
	npm ci --prefix tests/container --ignore-scripts --silent
	@touch $@

$(VENV)/.fuzz: requirements-fuzz.lock $(VENV)/.development
	@$(RUN) venv --without-pip $(VENV)/fuzz
	@$(VENV)/bin/uv pip sync --quiet --no-config --compile-bytecode --require-hashes \
		--python $(VENV)/fuzz/bin/python requirements-fuzz.lock
	@touch $@

$(VENV)/.bench: requirements-bench.lock bench/package-lock.json $(VENV)/.development | npm
	@$(RUN) venv --without-pip $(VENV)/bench
	@$(VENV)/bin/uv pip sync --quiet --no-config --compile-bytecode --require-hashes \
		--python $(VENV)/bench/bin/python requirements-bench.lock
	npm ci --prefix bench --ignore-scripts --silent
	@touch $@

$(VENV)/bin/python:
	@for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
		$$python -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
			&& echo "Making $(VENV) with $$($$python --version)" \
			&& exec $$python -m venv $(VENV); \
	done; \
	echo "Latchgate needs Python 3.11 or later with venv (Debian, Ubuntu: apt install python3-venv)." >&2; \
	echo "If yours has another name: make $(MAKECMDGOALS) PYTHON=/path/to/python" >&2; \
	exit 1
