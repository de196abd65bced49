# Everything a user or a contributor runs. `make demo` and `make test` need Python 3.11+ and a C++ compiler, nothing else.
PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
READY  := $(VENV)/.ready
CMAKE  := $(VENV)/bin/cmake
NINJA  := $(abspath $(VENV)/bin/ninja)
NATIVE := $(wildcard native/*.cpp native/*.hpp native/tests/*.cpp native/tests/*.hpp)
# The tests use two workers; each must not start a thread pool of its own on top.
TEST_ENV := OMP_NUM_THREADS=1

.PHONY: help install demo test build check format bench evaluate sanitize wheel clean

help:            ## this list
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

install: $(READY)  ## virtual environment with the package (editable) and all tools

$(READY): pyproject.toml CMakeLists.txt $(NATIVE)
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[train,plot,dev]'
	@touch $@

demo: $(READY)  ## train, compare, stream and write text on the bundled data (under three minutes)
	$(PY) examples/demo.py

test: $(READY)  ## all Python tests
	$(TEST_ENV) $(PY) -m pytest -n 2

build:           ## compile the kernels and replace those that Python loads, after a change to native/
	@test -e $(READY) || $(MAKE) install
	$(CMAKE) -S . -B build/dev -G Ninja -DPython_EXECUTABLE=$(abspath $(PY)) -DCMAKE_MAKE_PROGRAM=$(NINJA) \
	  -DHIDDENSTATE_CORE=$$($(PY) -c 'from sysconfig import get_config_var as v, get_path as p; print(p("platlib") + "/hiddenstate/native/_core" + v("EXT_SUFFIX"))')
	$(CMAKE) --build build/dev --target replace
	@touch $(READY)

sanitize: $(READY)  ## native tests under the address, undefined-behaviour and thread sanitizers
	@for kind in address,undefined thread; do \
	  $(CMAKE) -S . -B build/$$kind -G Ninja -DCMAKE_MAKE_PROGRAM=$(NINJA) -DHIDDENSTATE_PYTHON=OFF \
	    -DHIDDENSTATE_TESTS=ON -DHIDDENSTATE_SANITIZE=$$kind > /dev/null && \
	  $(CMAKE) --build build/$$kind && \
	  $(VENV)/bin/ctest --test-dir build/$$kind --output-on-failure || exit 1; \
	done

check: $(READY)  ## formatting, lint, types, floors
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/clang-format --dry-run -Werror $(NATIVE)
	$(VENV)/bin/pyright
	$(VENV)/bin/lint-imports

format: $(READY)  ## format Python and C++
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/clang-format -i $(NATIVE)

wheel: $(READY)  ## build the sdist, a wheel from it, and use the wheel in a fresh environment
	tools/try_wheel.sh $(PY)

bench: $(READY)  ## speed beside other libraries, each in a process of its own
	$(PY) -m pip install --quiet --disable-pip-version-check -r bench/requirements.txt
	$(PY) -m bench
	$(PY) -m bench.lens

evaluate: $(READY)  ## quality on real data sets beside published results (needs HIDDENSTATE_DATA)
	$(PY) -m evaluate

clean:  ## remove what was built
	rm -rf $(VENV) build dist demo-output
