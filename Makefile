# certroll: `make demo` shows the main job on real parts, `make check` is what
# CI runs. The demo needs Go, Git and make; see `make help` for the rest.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --abbrev=12 --dirty 2>/dev/null || echo devel)

# The race detector needs a C compiler; without one the tests still run.
RACE    ?= $(if $(shell command -v $$($(GO) env CC) 2>/dev/null),-race)
TIMEOUT ?= 20m
FUZZTIME ?= 20s
BENCH   ?= .

PLATFORMS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64

MODULES := . examples/lab/tools .ci/tools
LINT    := bin/golangci-lint
SBOM    ?= bin/cyclonedx-gomod
FUZZED  := $(shell grep -rl --include='*_test.go' '^func Fuzz' . 2>/dev/null)

# Lines in the form "target: ## text" are the help.
.PHONY: help
help: ## show this
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/\1	\2/' | expand -t 10

.PHONY: build
build: ## build bin/certroll
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.release=$(VERSION)' -o bin/certroll ./cmd/certroll

.PHONY: lab
lab: ## build the real servers of the demo and the tests, once
	@examples/lab/build.sh

.PHONY: demo
demo: build lab ## watch certificates declared in Git appear in a real Vault; KEEP=1 leaves the lab up
	@$(GO) build -o bin/demo ./examples/lab/demo
	@bin/demo -certroll bin/certroll -config examples/quickstart/certs $(if $(filter-out 0,$(KEEP)),-keep)

.PHONY: test
test: lab ## run every test, the integration tests included
	$(if $(RACE),,@echo "no C compiler found: testing without the race detector")
	$(GO) test $(RACE) -timeout $(TIMEOUT) ./...

.PHONY: short
short: ## run the tests that need no server
	$(GO) test -short ./...

# Cheap checks come first, so that a failure shows early.
.PHONY: check
check: format words tidy vet lint test ## run all that CI runs

.PHONY: format
format: ## fail where gofmt would change a file
	@out="$$(gofmt -l $$(git ls-files '*.go'))"; test -z "$$out" || { echo "gofmt would change:"; echo "$$out"; exit 1; }

.PHONY: words
words: ## fail where work was left for later
	@! git grep -nIE 'TO[D]O|FIX[M]E|X[X]X' -- ':!*go.sum' ':!*.pem' || { echo "finish the work, or open an issue and take the mark out"; exit 1; }

.PHONY: tidy
tidy: ## fail where go.mod or go.sum are not tidy
	@for dir in $(MODULES); do echo "go mod tidy -diff in $$dir" && (cd $$dir && $(GO) mod tidy -diff) || exit 1; done

.PHONY: vet
vet: ## run go vet
	$(GO) vet ./...

.PHONY: lint
lint: $(LINT) ## run golangci-lint
	$(LINT) run ./...

# Tools are pinned by a module of their own, whose dependencies are not certroll's.
$(LINT): .ci/tools/go.mod .ci/tools/go.sum
	@echo "building golangci-lint, once; this takes about two minutes"
	@mkdir -p $(@D)
	CGO_ENABLED=0 $(GO) build -C .ci/tools -trimpath -ldflags '-s -w' -o $(abspath $@) github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: release
release: $(SBOM) ## build the archives, SBOMs and checksums of a release into dist/
	VERSION='$(VERSION)' PLATFORMS='$(PLATFORMS)' SBOM='$(abspath $(SBOM))' .ci/release

bin/cyclonedx-gomod: .ci/tools/go.mod .ci/tools/go.sum
	@mkdir -p $(@D)
	CGO_ENABLED=0 $(GO) build -C .ci/tools -trimpath -ldflags '-s -w' -o $(abspath $@) github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod

# The second clone has an empty build cache: nothing of the first one's build
# comes into it.
.PHONY: reproducible
reproducible: $(SBOM) ## build a release for linux/amd64 in two clones, and fail where a byte differs
	@set -e; work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; \
	for clone in one two/below; do \
		git clone -q . "$$work/$$clone"; \
		if [ $$clone != one ]; then export GOCACHE="$$work/cache"; fi; \
		$(MAKE) -C "$$work/$$clone" release PLATFORMS=linux/amd64 SBOM='$(abspath $(SBOM))'; \
	done; \
	diff -r "$$work/one/dist" "$$work/two/below/dist"; \
	echo "both clones made the same bytes"

.PHONY: bench
bench: lab ## run the benchmarks; BENCH=regexp chooses
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -timeout 60m ./...

.PHONY: screenshots
screenshots: ## take the pictures of the documentation again, by Chromium
	$(GO) test ./cmd/certroll/page -run '^TestScreenshots$$' -count 1 -args -screenshots $(abspath docs/img)

.PHONY: fuzz
fuzz: ## fuzz each target for FUZZTIME
	@for file in $(FUZZED); do for f in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$file); do \
		echo "$$f in $$(dirname $$file)"; \
		$(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x ./$$(dirname $$file) || exit 1; \
	done; done

.PHONY: clean
clean: ## remove all that was built
	rm -rf bin dist examples/lab/bin
