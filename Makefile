# Two commands do everything: `make demo` and `make test`. Both set up first, which takes a second when nothing changed.

SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-long smoke gpu-check lint format typecheck bench drill docs lock sbom audit clean distclean

BIN := .venv/bin

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## bring .venv, the Horovod wheel and the jars up to date
	@bash scripts/setup.sh

demo: setup ## the whole flow, ending in out/demo/index.html; DATA=dir SITES=n SPEED=n CT=dir ONLY=imaging
	@$(BIN)/ipdsf demo $(if $(DATA),--data '$(DATA)') $(if $(SITES),--sites '$(SITES)') $(if $(SPEED),--speed '$(SPEED)') $(if $(CT),--ct '$(CT)') $(if $(ONLY),--only '$(ONLY)')

PYTEST := $(BIN)/python -m pytest --numprocesses=logical --maxprocesses=4 --dist=loadscope --no-loadscope-reorder

test: setup ## the suite, a process per core up to four; ARGS="-m 'not slow' -k fog" chooses
	@$(PYTEST) -m "not long" $(ARGS)

test-long: setup ## what the suite leaves out: clusters, trainings by several processes, notebooks, drills
	@$(PYTEST) -m long $(ARGS)

smoke: ## both flows once, on the versions of any environment: PYTHON=, ARGS=
	@$(or $(PYTHON),$(BIN)/python) scripts/smoke.py $(ARGS)

gpu-check: ## on a machine with a GPU, numpy, torch and scipy, without set-up: eight minutes, gpu-check.json; PYTHON=, ARGS=
	@$(or $(PYTHON),python3) scripts/gpu_check.py $(ARGS)

lint: setup ## ruff: errors, style, formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: setup ## let ruff rewrite
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

typecheck: setup ## mypy, strict
	@$(BIN)/mypy

bench: setup ## every benchmark, appending to docs/benchmarks/record.jsonl; ARGS=bench_x.py chooses one
	@mkdir -p docs/benchmarks
	@for script in $(or $(ARGS),$(notdir $(wildcard tests/bench/bench_*.py))); do \
		echo "== $$script"; \
		$(BIN)/python "tests/bench/$$script" --record docs/benchmarks/record.jsonl || exit; \
	done

drill: setup ## every fault really done, docs/drills.md written; ARGS="--only NAME" or --short chooses
	@$(BIN)/ipdsf drill --record docs/benchmarks/drills.json --output docs $(ARGS)

docs: setup ## the site in out/docs/index.html: guides, pages, reference; a link that leads nowhere ends it
	@$(BIN)/python scripts/build_docs.py --output out/docs

lock: setup ## solve the exact versions of both sets again; ARGS=--upgrade takes newer ones
	@for set in lock oldest; do \
		$(BIN)/uv pip compile pyproject.toml --constraint requirements/$$set.in --all-extras --universal --python-version 3.11 \
			--generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --quiet \
			--output-file requirements/$$set.txt $(ARGS) || exit; \
	done
	@$(BIN)/uv pip compile requirements/uv.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-emit-find-links --custom-compile-command "make lock" --quiet --output-file requirements/uv.txt $(ARGS)

sbom: setup ## what is installed, as CycloneDX JSON in out/sbom.json, and its licences in out/licences.txt
	@$(BIN)/python scripts/sbom.py --output out/sbom.json
	@$(BIN)/python scripts/sbom.py --licences > out/licences.txt

audit: sbom ## known weaknesses of what is installed, asked of osv.dev; says so where that cannot be reached
	@$(BIN)/python scripts/audit.py out/sbom.json $(ARGS)

clean: ## remove what tests, builds and demos wrote
	@rm -rf out build dist docs/reference *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis spark-warehouse metastore_db derby.log
	@find . -name __pycache__ -type d -not -path './.venv*/*' -prune -exec rm -rf {} +

distclean: clean ## clean, and remove .venv; the caches of the user stay
	@rm -rf .venv .venv-oldest
