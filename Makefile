# Every target does its own set-up: `make demo` and `make test` work from a clean clone, as root on Debian 12.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The start time, shared by all programs that a target runs.
ifndef IMAGECLASSIFIER_STARTED
IMAGECLASSIFIER_STARTED := $(shell date +%s.%N)
endif
export IMAGECLASSIFIER_STARTED

# Any Python can start the set-up, which then finds the one for .venv.
PYTHON ?= $(or $(wildcard /usr/bin/python3.11),$(shell command -v python3 || echo python3))
RUN := .venv/bin/python -m
# More options for pytest: make unit PYTEST="-k drain -x"
PYTEST ?=

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo demo-down
demo: setup ## Start a real Kubernetes, install the operator and classify a photograph
	@$(RUN) e2e.demo
demo-down: setup ## Stop the demo and clean up
	@$(RUN) e2e.demo --down

.PHONY: test lint unit browser integration e2e chart-test
test: setup ## Run all checks: lint, unit, browser, integration, e2e
	@$(RUN) tools.run_tests --pytest="$(PYTEST)"
lint: setup ## Check format, style, types and import layers
	@$(RUN) tools.run_tests lint
unit: setup ## Run the tests that need only Python
	@$(RUN) tools.run_tests unit --pytest="$(PYTEST)"
browser: setup ## Run the tests of the page, in a headless Chromium
	@$(RUN) tools.run_tests browser --pytest="$(PYTEST)"
integration: setup ## Run the tests against a real API server with no nodes
	@$(RUN) tools.run_tests integration --pytest="$(PYTEST)"
e2e: setup ## Run the scenarios against a real cluster
	@$(RUN) tools.run_tests e2e --pytest="$(PYTEST)"
chart-test: setup ## Lint and render the chart, then install, test, upgrade, roll back and uninstall it on a real cluster
	@.venv/bin/pytest tests/unit/charts tests/golden/test_chart.py
	@$(RUN) tools.run_tests e2e --pytest="-k test_chart.py"

# More options for the benchmark: make bench-runtime BENCH="--quick", or "--memory-curve 100000 --assert"
BENCH ?=
.PHONY: bench-runtime
bench-runtime: setup ## Measure the model server against the machine's limit and a tutorial's app
	@$(RUN) runtime.bench $(BENCH)

# More options for the stress tests: make stress STRESS="--count 2000 --keep build/stress"
STRESS ?=
.PHONY: stress
stress: setup ## Send the largest, malformed and mutated images to a server with a memory limit; needs root
	@$(RUN) runtime.stress $(STRESS)

# More options for the measurements: make acceptance ACCEPTANCE="--model FOLDER"
ACCEPTANCE ?=
.PHONY: acceptance
acceptance: setup ## Measure agreement of the protocols, drain and cache against their bars
	@$(RUN) tests.acceptance $(ACCEPTANCE)

.PHONY: images cluster-up cluster-down kubeconfig
images: setup ## Build the two images, if their inputs changed
	@$(RUN) tools.images build
cluster-up: setup ## Start the components of the local Kubernetes that are not running
	@$(RUN) e2e.cluster up
cluster-down: setup ## Stop the local Kubernetes and revert its changes to the machine
	@$(RUN) e2e.cluster down
kubeconfig: ## Print the path of the local cluster's kubeconfig
	@$(PYTHON) -c 'from e2e.cluster.paths import kubeconfig_path; print(kubeconfig_path())'

.PHONY: setup lock generate fmt update-golden
setup: ## Create .venv, or update it to the lock file
	@$(PYTHON) -m tools.bootstrap
lock: setup ## Regenerate the lock files from pyproject.toml
	@PATH="$(CURDIR)/.venv/bin:$$PATH" requirements/lock.sh
generate: setup ## Generate the CRD, the API reference, the chart's CRD, operator/deploy and the table of settings
	@$(RUN) imageclassifier_operator.api.generate crds
	@$(RUN) tools.chart generate
	@$(RUN) imageclassifier_runtime.settings.reference runtime/README.md
fmt: setup ## Format the code and fix what ruff can fix
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix .
update-golden: setup ## Regenerate the golden files
	@.venv/bin/pytest tests/golden --update-golden
