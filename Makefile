# Every habit is a target; plain `make` prints them. Python 3.11 and make are all a machine needs.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
REQUIREMENTS := requirements/dev.txt
DIRS := libs services deploy tests benchmarks
UNIT := not db and not kafka and not e2e and not watch

.DEFAULT_GOAL := help
.PHONY: help install demo up down status fmt check test test-db test-kafka test-watch tools e2e soak bench migrate requirements clean

help: ## print the targets
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: $(INSTALLED) ## make .venv with every locked package, each checked by hash (does nothing when nothing changed)

$(INSTALLED): $(REQUIREMENTS) deploy/local/install.sh
	@PYTHON="$(PYTHON)" bash deploy/local/install.sh "$(VENV)" "$(REQUIREMENTS)"

demo: install ## start everything, drive traffic through both doors while parts are killed, print a short report, stop
	@$(BIN)/python -m deploy.local demo

up: install ## start Postgres, Kafka, Valkey, the services, the sandbox, Prometheus if there is one; print where they listen
	@$(BIN)/python -m deploy.local up

down: install ## stop everything that `make up` started; data is kept
	@$(BIN)/python -m deploy.local down

status: install ## what of the local stack runs, and where
	@$(BIN)/python -m deploy.local status

fmt: install ## format and mend what can be mended
	$(BIN)/ruff format $(DIRS)
	$(BIN)/ruff check --fix $(DIRS)

check: install ## format, lint, types, imports, layout, generated documents, unit tests; no network
	$(BIN)/ruff format --check $(DIRS)
	$(BIN)/ruff check $(DIRS)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m libs.events.generate --check
	$(BIN)/python -m deploy.watch --check
	$(BIN)/python -m deploy.platforms_page --check
	$(BIN)/python -m pytest -q -m "$(UNIT)"

test: check ## check, then every other test against real Postgres, Kafka and Valkey
	$(BIN)/python -m pytest -q -m "db or kafka or e2e" $(ARGS)

test-db: install ## the tests that need Postgres (ARGS="-k name" narrows)
	$(BIN)/python -m pytest -m "db and not kafka and not e2e" $(ARGS)

test-kafka: install ## the tests that need Kafka
	$(BIN)/python -m pytest -m "kafka and not e2e" $(ARGS)

e2e: install ## the tests that start the services as processes, and kill them
	$(BIN)/python -m pytest -m e2e $(ARGS)

tools: install ## put the distribution's Prometheus into .local/tools (Debian or Ubuntu, a network, no root), and check it
	@$(BIN)/python -m deploy.local.tools

test-watch: install ## dashboards and alerts on a live Prometheus: of `make tools`, or at PROMETHEUS_URL
	$(BIN)/python -m pytest -q -m watch $(ARGS)

soak: install ## the survival test with 5,000 requests and 5,000 webhooks, on one broker and on three (SURVIVAL_SEED replays it); then the memory of the receiver over 1,000,000 webhooks
	SURVIVAL_REQUESTS=$${SURVIVAL_REQUESTS:-5000} SURVIVAL_WEBHOOKS=$${SURVIVAL_WEBHOOKS:-5000} \
	  $(BIN)/python -m pytest -m e2e -s tests/e2e/test_survival.py $(ARGS)
	$(BIN)/python -m benchmarks.webhook_flow $${SOAK_WEBHOOKS:-1000000}

bench: install ## every benchmark, as ratios from one run
	@$(BIN)/python -m benchmarks

migrate: install ## bring every schema of the local stack up to date
	@$(BIN)/python -m deploy.local migrate

requirements: install ## compile requirements/*.in again (newest versions that fit)
	@for name in runtime local dev; do \
	  $(BIN)/pip-compile --quiet --upgrade --generate-hashes --allow-unsafe --strip-extras --no-header \
	    --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --annotation-style=line \
	    -o requirements/$$name.txt requirements/$$name.in; done

clean: ## stop the local stack and delete its data
	@test ! -x $(BIN)/python || $(BIN)/python -m deploy.local down --delete
	rm -rf .local
