# `make demo` and `make test` need nothing but Python 3.11 and a network (or pip cache).
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test android android-tools android-fixtures lint format clean

demo: $(VENV)/.installed
	$(BIN)/tfpwl build pipelines/digits_resnet.yaml

test: $(VENV)/.installed
	$(BIN)/python -m pytest -n 2
	@command -v mvn >/dev/null || echo "The Android library was not tested: there is no Maven. See \`make android\`."

# Android's library and benchmark: compiled, checked against API 24, tested on the JVM, made a dex and a signed APK.
# Maven fetches what the POMs name.
FIXTURES := android_bench/build/fixtures
APK_TOOLS := aapt aapt2 zipalign apksigner dexdump unzip keytool
android: android-tools $(FIXTURES)/fixtures.json
	cd android_bench && mvn -q -B -ntp verify
	android_bench/bench/apk.sh
	$(BIN)/python -m pytest -q tests/cli/test_bench_android.py tests/cli/test_tiers_and_profile.py -k jvm

android-tools:
	@command -v mvn >/dev/null && command -v javac >/dev/null \
		&& test "$$(javac -version 2>&1 | sed 's/javac \([0-9]*\).*/\1/')" -ge 17 \
		|| { echo "The Android library needs a JDK of version 17 or newer and Maven." \
			"On Debian: apt-get install openjdk-17-jdk-headless maven" >&2; exit 2; }
	@missing=$$(for tool in $(APK_TOOLS); do command -v $$tool >/dev/null || printf ' %s' $$tool; done); \
		test -z "$$missing" || { echo "The Android benchmark needs what is not installed:$$missing." \
			"On Debian: apt-get install aapt zipalign apksigner dexdump unzip" >&2; exit 2; }

android-fixtures: $(FIXTURES)/fixtures.json

$(FIXTURES)/fixtures.json: android_bench/fixtures.py tests/tiny_files.py tests/broken_bundles.py \
		tests/broken_bundles.json tests/devices.json \
		$(wildcard tfpwl/bundle/*.py tfpwl/quantize/*.py) $(addprefix tfpwl/runtime/,tiers.py device.py selection.py) | $(VENV)/.installed
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python android_bench/fixtures.py $(FIXTURES)

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/.installed: requirements.txt setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

clean:
	rm -rf $(VENV) build android_bench/build android_bench/*/target *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
