# SPDX-License-Identifier: Apache-2.0
# The front door. Meson and Ninja build; see CONTRIBUTING.md for what is where.
#
#   build/        what users run: optimised, no assertions, no tests
#   build-test/   the same code with assertions, and the unit tests
#   build-asan/   gcc with the address and undefined-behaviour sanitizers
#   build-tsan/   clang with the thread sanitizer
#   build-fuzz/   clang with libFuzzer
#   build-device/ what is compiled for microcontrollers

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := build

PREFIX ?= /usr/local
DESTDIR ?=
RUN_DIR ?= run
AMALGAMATION ?= build/amalgamation

, := ,

INSTALL_DEPENDENCIES := scripts/install-dependencies
# What the client library is made of, but for what only systems have (sockets, TLS).
LIBRARY_FILES = src/base/base64.c src/base/error.c src/base/utf8.c src/mqtt/*.c $(addprefix src/ws/,client.c frame.c http.c sha1.c) \
	$(filter-out %_posix.c %mbedtls.c src/client/fault.c,$(wildcard src/client/*.c))
C_FILES = $$(git ls-files '*.c' '*.h')

# $(call configure,DIRECTORY,MESON OPTIONS,ENVIRONMENT): set up once; again if it was left half done.
# Sanitizers disturb the flow analysis of gcc, so there a warning is no error.
configure = if [ ! -e $(1)/build.ninja ]; then \
	  rm -rf $(1); $(3) meson setup $(1) $(2) >$(1).log 2>&1 || { cat $(1).log; exit 1; }; rm -f $(1).log; \
	fi

# $(call ninja,DIRECTORY): with its progress on a terminal, otherwise only what goes wrong.
ninja = if [ -t 1 ]; then ninja -C $(1); else ninja --quiet -C $(1); fi

.PHONY: build run test test-long test-asan test-tsan fuzz torture check check-devices amalgamation bench install format lint clean help \
	build-test build-asan build-tsan build-fuzz

build: ## build the program: build/noctule
	@$(INSTALL_DEPENDENCIES) build
	@$(call configure,build,-Dbuildtype=release -Db_lto=true -Ddebug=true -Dtests=false -Dprefix=$(PREFIX))
	@$(call ninja,build)

run: build ## build, and run a secure broker out of run/ (made on the first start)
	@build/noctule setup $(RUN_DIR)
	@exec build/noctule broker -c $(RUN_DIR)/noctule.conf

build-test:
	@$(INSTALL_DEPENDENCIES) test
	@$(call configure,build-test,-Dbuildtype=debugoptimized)
	@$(call ninja,build-test)

# The ten minutes are counted from here, so what is built first takes from them.
test: STARTED := $(shell date +%s)
test: build build-test ## unit tests, and end-to-end tests with the real peers (10 minutes at most)
	@scripts/run-tests --name test --minutes 10 --since $(STARTED) --unit build-test --e2e build/noctule

build-asan:
	@$(INSTALL_DEPENDENCIES) test check
	@$(call configure,build-asan,-Dbuildtype=debugoptimized -Dwerror=false -Db_sanitize=address$(,)undefined,CC=gcc)
	@$(call ninja,build-asan)

test-asan: build-asan ## the tests under the address and undefined-behaviour sanitizers
	@scripts/run-tests --name test-asan --minutes 13 --sanitizer address --unit build-asan --e2e build-asan/noctule

build-tsan:
	@$(INSTALL_DEPENDENCIES) test check
	@$(call configure,build-tsan,-Dbuildtype=debugoptimized -Db_sanitize=thread -Db_lundef=false,CC=clang)
	@$(call ninja,build-tsan)

test-tsan: build-tsan ## the tests under the thread sanitizer
	@scripts/run-tests --name test-tsan --minutes 13 --sanitizer thread --unit build-tsan --e2e build-tsan/noctule

FUZZ_SECONDS ?= 60
build-fuzz:
	@$(INSTALL_DEPENDENCIES) test check
	@$(call configure,build-fuzz,-Dbuildtype=debugoptimized -Dfuzz=true,CC=clang)

fuzz: build-fuzz ## each fuzz target for FUZZ_SECONDS (60)
	@scripts/fuzz build-fuzz $(FUZZ_SECONDS)

test-long: export NOCTULE_LONG = 1
test-long: build build-test ## what takes longer than `make test` may
	@$(MAKE) fuzz FUZZ_SECONDS=600
	@build-test/tests/sim/sim --random --seconds 900
	@build-test/tests/sim/sim --random --seconds 300 --threads
	@$(MAKE) torture
	@scripts/bench -s 1to1-64,fanout-500,qos1 -a 1to1-64=12,fanout-500=4,qos1=10
	@scripts/bench-queue
	@scripts/run-tests --name test-long --minutes 240 --unit build-test --e2e build/noctule

KILLS ?= 300
torture: build build-test ## kill the broker KILLS (300) times, and cut its power, under a load that checks what it acknowledged
	@tests/crash/torture --broker "build/noctule broker" --kills $(KILLS)
	@tests/crash/torture --broker "build/noctule broker" --kills $(KILLS) --powercut build-test/tests/crash/powercut.so
	@tests/crash/replay --broker "build/noctule broker" --cuts $$(($(KILLS) * 4)) --powercut build-test/tests/crash/powercut.so

check: ## the layers' arrows and the style's numbers
	@$(INSTALL_DEPENDENCIES) check
	@scripts/check-layers
	@scripts/check-style

check-devices: build ## what firmware uses, compiled for microcontrollers, measured and run in emulators
	@$(INSTALL_DEPENDENCIES) device
	@scripts/check-devices

amalgamation: ## the client library in two files, noctule.h and noctule.c, in build/amalgamation
	@scripts/amalgamate --output $(AMALGAMATION) $(LIBRARY_FILES)

bench: build ## measure Noctule against Debian's mosquitto (BENCH="options of scripts/bench")
	@scripts/bench $(BENCH)
	@scripts/bench-tools

install: build ## install under PREFIX (/usr/local), below DESTDIR
	@meson configure build -Dprefix=$(PREFIX)
	@DESTDIR='$(DESTDIR)' meson install -C build --quiet
	@echo "installed $(DESTDIR)$(PREFIX)/bin/noctule"

format: ## put all C files into shape
	@$(INSTALL_DEPENDENCIES) lint
	@clang-format -i $(C_FILES)

lint: build-test ## clang-format, clang-tidy, cppcheck, shellcheck: silent, or says why
	@$(INSTALL_DEPENDENCIES) lint
	@scripts/lint build-test

clean: ## remove what was built (run/ stays)
	@rm -rf build build-test build-asan build-tsan build-fuzz build-device build-results

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
