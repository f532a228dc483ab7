# What people do here. Every target needs nothing but Python 3.11 or newer; the rest is installed below .darkroom/.
#
#   make up DARKROOM_STACK=other DARKROOM_API_PORT=8080     a second stack; localstack/settings.py lists what can be set

ifndef PYTHON
PYTHON := $(firstword $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name; done))
endif
ifeq ($(PYTHON),)
$(error Python 3.11 or newer is needed and none was found. Install it, or say where it is: make PYTHON=/path/to/python3)
endif

STACK  := $(PYTHON) -m localstack.stack
CHECK  := $(PYTHON) -m tools.check
SAM    := SAM_CLI_TELEMETRY=0 .darkroom/tools/bin/sam

.DEFAULT_GOAL := help
.PHONY: help up down logs status demo test hostile lint format bench chaos deploy clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' Makefile

up: ## start the local stack: RabbitMQ, Redis, AWS emulator, the deployed template, the API
	@$(STACK) up

down: ## end everything that `make up` started
	@$(STACK) down

logs: ## follow what every part says
	@$(STACK) logs

status: ## what runs and whether the API is well
	@$(STACK) status

demo: up ## run real jobs on real media and show the results
	@$(PYTHON) -m localstack.demo

test: ## everything: lint, types, unit, integration, end-to-end tests and a short run of chaos
	@$(CHECK)

hostile: ## thousands of damaged and malicious files, with the counts by kind and outcome
	@$(CHECK) hostile

lint: ## lint and types only
	@$(CHECK) lint

format: ## format the Python code
	@$(CHECK) format

chaos: ## jobs while every part fails at random moments: make chaos N=2000 SEED=7 [BREAK=fencing]
	@$(CHECK) chaos $(if $(N),--jobs $(N)) $(if $(SEED),--seed $(SEED)) $(if $(BREAK),--break $(BREAK)) $(OPTIONS)

bench: up ## measure the running stack and the operations beside their peers (half an hour; needs npm)
	@$(CHECK) bench

deploy: ## build and deploy to AWS with your own credentials (asks before it changes anything)
	@$(PYTHON) -m localstack.services.environments
	$(SAM) build
	$(SAM) deploy --guided

clean: ## remove everything that was installed, built or started here
	@$(PYTHON) -m localstack.stack down
	@DARKROOM_STACK=darkroom-test $(PYTHON) -m localstack.stack down
	rm -rf .darkroom .aws-sam .pytest_cache .mypy_cache .ruff_cache
