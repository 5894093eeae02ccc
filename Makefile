# make demo   install, then score the embedded documents with the embedded classifiers
# make test   the suite: no GPU, no download of models
# make check  style, types, layers
# make bench TEXTS='a.parquet …'  speed, beside what others use; hours. NEMO_PYTHON=… adds NeMo Curator, which needs an
#             environment of its own: benchmarks/nemo_curator_stages.py says which
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
TORCH_INDEX ?=
TEXTS ?=
NEMO_PYTHON ?=

.PHONY: demo test test-long check golden bench clean

demo: $(VENV)/.demo
	$(BIN)/python pipelines/run_ensemble.py

test: $(VENV)/.check
	$(BIN)/python -m pytest

test-long: $(VENV)/.check
	$(BIN)/python -m pytest -m long

check: $(VENV)/.check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

golden: $(VENV)/.check
	$(BIN)/python -m pytest tests/golden --rewrite-golden

bench: $(VENV)/.bench
	@test -n "$(TEXTS)" || { echo "name Parquet files with a column text: make bench TEXTS='a.parquet b.parquet'"; exit 2; }
	for model in minilm arctic; do for documents in web short; do $(BIN)/python benchmarks/encoder.py --markdown \
		--texts $(firstword $(TEXTS)) --model $$model --documents $$documents \
		$(if $(NEMO_PYTHON),--nemo-python $(NEMO_PYTHON)) || exit 1; done; done
	$(BIN)/python benchmarks/tokenisers.py --texts $(TEXTS)
	$(BIN)/python benchmarks/fasttext_predict.py --texts $(firstword $(TEXTS))
	$(BIN)/python benchmarks/scaling.py --texts $(TEXTS)
	$(BIN)/python benchmarks/scheduler.py
	$(BIN)/python benchmarks/thresholds.py
	$(BIN)/python benchmarks/retier.py

clean:
	rm -rf $(VENV) runs build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/.%: pyproject.toml constraints.txt | $(VENV)/.torch
	$(PIP) install --constraint constraints.txt --editable '.[$*]'
	@touch $@

$(VENV)/.torch: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "curation needs Python 3.11 to 3.13; choose one with make PYTHON=/path/to/python3"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "python3 cannot make virtual environments here: install python3-venv"; exit 2; }
	$(PIP) install --constraint constraints.txt $(if $(TORCH_INDEX),--index-url '$(TORCH_INDEX)') torch
	@$(BIN)/python -c 'import pathlib, torch; root = pathlib.Path(torch.__file__).parent; \
		size = sum(file.stat().st_size for file in root.rglob("*") if file.is_file()); \
		print(f"torch {torch.__version__}, {size / 1e6:,.0f} MB")'
	@touch $@
