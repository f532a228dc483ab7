# The commands of this repository. They need Python 3.11 or newer, and Docker or a package manager that may install
# RabbitMQ and Redis. Everything else is installed into .darkroom/.
#
#   make up DARKROOM_STACK=other DARKROOM_API_PORT=8080     starts a second stack; docs/configuration.md lists all settings
#   make unit OPTIONS="-k geometry"                         options for pytest; also for integration and e2e

ifndef PYTHON
PYTHON := $(firstword $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name; done))
endif
ifeq ($(PYTHON),)
$(error Python 3.11 or newer is needed and was not found. Install it, or name its path: make PYTHON=/path/to/python3)
endif

STACK  := $(PYTHON) -m localstack.stack
CHECK  := $(PYTHON) -m tools.check
SAM    := SAM_CLI_TELEMETRY=0 .darkroom/tools/bin/sam
AWS    := SAM_CLI_TELEMETRY=0 PYTHONPATH=layers/core:. .darkroom/venv/bin/python -m
NAME   ?= darkroom

.DEFAULT_GOAL := help
.PHONY: help up down logs status key demo test lint format unit integration e2e hostile chaos mutations permissions coverage bench deploy undeploy clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' Makefile

up: ## start the local stack: RabbitMQ, Redis and the AWS emulator with the deployed template
	@$(STACK) up

down: ## stop the local stack and delete its data
	@$(STACK) down

logs: ## follow the logs of all services and functions
	@$(STACK) logs

status: ## show which services run, the health of the API, and whether it needs a key
	@$(STACK) status

key: ## make an API key of the local stack: make key [TENANT=default] [SCOPES="read write admin"] [NAME=mine]
	@$(PYTHON) -m localstack.keys $(if $(TENANT),--tenant $(TENANT)) $(if $(SCOPES),--scopes "$(SCOPES)") \
		$(if $(filter command,$(firstword $(origin NAME))),--name "$(NAME)")

demo: up ## process sample media with every operation and save the results in results/
	@$(PYTHON) -m localstack.demo

test: ## run everything: lint, unit, hostile (short), integration, e2e, chaos (short), permissions, coverage
	@$(CHECK)

lint: ## check style (ruff), types (mypy) and the template (sam validate, cfn-lint, checkov)
	@$(CHECK) lint

format: ## format the code and apply the fixes of ruff
	@$(CHECK) format

unit: ## run the unit tests, which need no running service
	@$(CHECK) unit $(OPTIONS)

integration: ## start a test stack and run the integration tests: the code with real services
	@$(CHECK) integration $(OPTIONS)

e2e: ## start a test stack and run the end-to-end tests: the deployed service over HTTP
	@$(CHECK) e2e $(OPTIONS)

hostile: ## run the operations on thousands of damaged and malicious files; print the counts by outcome
	@$(CHECK) hostile

chaos: ## run jobs while services and functions fail at random: make chaos N=2000 SEED=7 [BREAK=fencing]
	@$(CHECK) chaos $(if $(N),--jobs $(N)) $(if $(SEED),--seed $(SEED)) $(if $(BREAK),--break $(BREAK)) $(OPTIONS)

permissions: ## compare the IAM policies with the AWS calls that the last e2e and chaos runs recorded
	@$(CHECK) permissions

mutations: ## remove one guard after the other and run chaos: each must be noticed (45 min); NAMES="fencing cursor"
	@$(CHECK) mutations $(NAMES) $(OPTIONS)

coverage: ## compare the coverage of the last unit and integration tests with the floor
	@$(CHECK) coverage

bench: up ## compare the running stack with Celery, and the operations with sharp and Pillow (15 to 30 min; needs npm)
	@$(CHECK) bench

deploy: ## build and deploy to AWS, after a question: make deploy [NAME=darkroom] [PARAMETERS="RetentionDays=30"]
	@$(PYTHON) -m tools.environments
	$(SAM) build
	@$(AWS) tools.deploy $(NAME) $(PARAMETERS)

undeploy: ## delete a stack from AWS with all its files, after a question: make undeploy [NAME=darkroom]
	@$(PYTHON) -m tools.environments
	@$(AWS) tools.undeploy $(NAME)

clean: ## stop the stacks and delete everything that was installed or built in this folder
	@$(STACK) down
	@DARKROOM_STACK=darkroom-test $(STACK) down
	rm -rf .darkroom .aws-sam .pytest_cache .mypy_cache .ruff_cache
