# `make demo` shows certroll at work on real servers, and `make test` runs the tests.
# Both need only Go, Git and make. CI runs `make check`. `make help` lists all targets.

GO      ?= go
VERSION ?= $(shell .ci/version)

# Every build uses the same flags, so that the programs, the lab and the tests share
# one build cache. Only the race detector needs cgo, and so a cache of its own.
export CGO_ENABLED := 0
export GOFLAGS := $(strip $(filter-out -trimpath,$(shell $(GO) env GOFLAGS)) -trimpath)

# The race detector needs a C compiler; without one the tests run without it.
RACE    ?= $(if $(shell command -v $$(CGO_ENABLED=1 $(GO) env CC) 2>/dev/null),-race)
TIMEOUT ?= 40m
FUZZTIME ?= 20s
BENCH   ?= .

# progress.sh shows the progress of a build; STEP names its step, such as 1/2.
STEP     ?= build
PROGRESS := examples/lab/progress.sh $(STEP)

# Packages to test, as in: make test TEST=./vault
TEST   ?= ./...
REPORT := bin/testreport

PLATFORMS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64

MODULES := . examples/lab/embedded examples/lab/browser examples/lab/tools examples/lab/stepca .ci/tools
LINT    := bin/golangci-lint
VULN    := bin/govulncheck
SBOM    ?= bin/cyclonedx-gomod
FUZZED  := $(shell grep -rl --include='*_test.go' '^func Fuzz' . 2>/dev/null)

# This tag builds certroll-dns with only the DNS providers that the demo and `make
# test` use: all of them take longer to compile than everything else together.
FEW := -tags labproviders

# `make help` prints the lines of the form "target: ## text".
.PHONY: help
help: ## show this
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/\1	\2/' | expand -t 14

.PHONY: build
build: ## build bin/certroll, and bin/certroll-dns for its DNS providers
	@$(PROGRESS) 'certroll and certroll-dns' 'about 2 minutes on two cores' $(GO) build -v -trimpath -ldflags '-s -w -X main.release=$(VERSION)' -o bin/ ./cmd/certroll ./cmd/certroll-dns

.PHONY: lab
lab: ## build the servers of the demo and the tests: Vault's KV engine, and Pebble
	@STEP='$(STEP)' examples/lab/build.sh

.PHONY: vault
vault: ## build a real Vault, where PATH has none: 10 to 20 minutes
	@examples/lab/build.sh vault

.PHONY: demo
demo: ## watch certificates declared in Git appear in Vault; KEEP=1 leaves the lab up
	@echo 'make demo: two builds, then the story. About 3 minutes from empty caches on two cores, seconds the next time.'
	@examples/lab/progress.sh 1/2 'certroll and the demo' 'about 2 minutes on two cores' \
		$(GO) build -v $(FEW) -ldflags '-s -w -X main.release=$(VERSION)' -o bin/lab/ ./cmd/certroll ./cmd/certroll-dns ./examples/lab/demo
	@$(MAKE) --no-print-directory lab STEP=2/2
	@bin/lab/demo -certroll bin/lab/certroll -config examples/quickstart/certs $(if $(filter-out 0,$(KEEP)),-keep)

# DRILL_TIME is for the parts kill and replicas together, DRILL_SOAK for the soak.
DRILL_SEED ?= 0
DRILL_TIME ?= 10m
DRILL_SOAK ?= 15m
DRILL_PARTS ?= kill replicas soak

.PHONY: drill
drill: ## kill certroll, damage its state, cut replicas, and count what is lost: 30 minutes
	@examples/lab/progress.sh 1/2 'certroll and the drill' 'about 2 minutes on two cores' \
		$(GO) build -v $(FEW) -ldflags '-s -w -X main.release=$(VERSION)' -o bin/lab/ ./cmd/certroll ./cmd/certroll-dns ./examples/lab/drill
	@$(MAKE) --no-print-directory lab STEP=2/2
	@CERTROLL_LAB_VAULT='$(or $(CERTROLL_LAB_VAULT),embedded)' bin/lab/drill -certroll bin/lab/certroll \
		-seed $(DRILL_SEED) -time $(DRILL_TIME) -soak $(DRILL_SOAK) -parts '$(DRILL_PARTS)'

# The tests run with -vet=off, because vet would analyse every dependency again for
# them; `make vet` runs it once.
.PHONY: $(REPORT)
$(REPORT):
	@$(GO) build -o $@ ./examples/lab/testreport

# Most of these tests wait for a server, so more of them run at once than there are
# cores.
.PHONY: test
test: lab $(REPORT) ## run every test that Go, Git and make can run, on the lab's own servers
	@echo 'Compiling the tests; about 4 minutes from an empty cache on two cores.'
	@CERTROLL_LAB_VAULT=embedded CERTROLL_LAB_ONLY=1 $(REPORT) -vet=off $(FEW) -p 4 -parallel 6 -timeout $(TIMEOUT) $(TEST)

.PHONY: short
short: $(REPORT) ## run the tests that need no server
	@$(REPORT) -vet=off -short $(FEW) $(TEST)

# The tests use vault or bao from PATH; CERTROLL_LAB_VAULT names another server.
REAL_VAULT = $(or $(filter-out embedded,$(CERTROLL_LAB_VAULT)),$(shell command -v vault || command -v bao || echo vault))

.PHONY: integration
integration: lab $(REPORT) ## run every test against a real Vault, BIND, OpenSSH, nginx and so on
	@if [ '$(REAL_VAULT)' = vault ]; then examples/lab/build.sh vault; fi
	@examples/lab/build.sh consul-template step-ca
	@CERTROLL_LAB_VAULT='$(REAL_VAULT)' $(REPORT) -vet=off -parallel 6 -timeout $(TIMEOUT) $(TEST)

# CI runs the tests a second time, on the pinned Vault and under the race detector.
# The detector skips most DNS providers: they are not certroll's code, and compiling
# them for it would take minutes and find nothing.
.PHONY: race
race: lab $(REPORT) ## run every test under the race detector, against the pinned Vault
	$(if $(RACE),,@echo "no C compiler found: testing without the race detector")
	@examples/lab/build.sh vault consul-template step-ca
	@CERTROLL_LAB_VAULT=vault $(if $(RACE),CGO_ENABLED=1 )$(REPORT) -vet=off $(FEW) $(RACE) -parallel 6 -timeout $(TIMEOUT) $(TEST)
	@$(REPORT) -vet=off ./cmd/certroll-dns

# The cheap checks run before lint and the race detector, so that they fail early.
.PHONY: check
check: test format words tidy vet lint vulncheck race ## run all that CI runs

.PHONY: format
format: ## fail where gofmt would change a file, or a page has no line end
	@out="$$(gofmt -l $$(git ls-files '*.go'))"; test -z "$$out" || { echo "gofmt would change:"; echo "$$out"; exit 1; }
	@for f in $$(git ls-files '*.md'); do test -z "$$(tail -c 1 "$$f")" || { echo "$$f: no line end"; exit 1; }; done

.PHONY: words
words: ## fail where work was left for later
	@! git grep -nIE 'TO[D]O|FIX[M]E|X[X]X' -- ':!*go.sum' ':!*.pem' || { echo "finish the work, or open an issue and take the mark out"; exit 1; }

.PHONY: tidy
tidy: ## fail where go.mod or go.sum are not tidy
	@for dir in $(MODULES); do echo "go mod tidy -diff in $$dir" && (cd $$dir && $(GO) mod tidy -diff) || exit 1; done

.PHONY: vet
vet: ## run go vet
	$(GO) vet ./...
	$(GO) vet -C examples/lab/embedded ./...
	$(GO) vet -C examples/lab/browser ./...

.PHONY: lint
lint: $(LINT) ## run golangci-lint
	$(LINT) run ./...
	cd examples/lab/embedded && $(abspath $(LINT)) run ./...

# A separate module pins the tools, so that certroll does not share their dependencies.
$(LINT): .ci/tools/go.mod .ci/tools/go.sum
	@echo "building golangci-lint, once; this takes about two minutes"
	@mkdir -p $(@D)
	CGO_ENABLED=0 $(GO) build -C .ci/tools -trimpath -ldflags '-s -w' -o $(abspath $@) github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: vulncheck
vulncheck: $(VULN) ## look for known vulnerabilities in what is linked, where their database can be reached
	@GOVULNCHECK='$(abspath $(VULN))' .ci/vulncheck

$(VULN): .ci/tools/go.mod .ci/tools/go.sum
	@mkdir -p $(@D)
	$(GO) build -C .ci/tools -ldflags '-s -w' -o $(abspath $@) golang.org/x/vuln/cmd/govulncheck

.PHONY: release
release: $(SBOM) ## build the archives, SBOMs and checksums of a release into dist/
	VERSION='$(VERSION)' PLATFORMS='$(PLATFORMS)' SBOM='$(abspath $(SBOM))' .ci/release

bin/cyclonedx-gomod: .ci/tools/go.mod .ci/tools/go.sum
	@mkdir -p $(@D)
	CGO_ENABLED=0 $(GO) build -C .ci/tools -trimpath -ldflags '-s -w' -o $(abspath $@) github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod

# The second clone has an empty build cache, so that it reuses nothing of the first
# clone's build.
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
		if [ $$f = FuzzCost ]; then \
			$(GO) test -c -o bin/fuzzcost ./$$(dirname $$file) && (cd $$(dirname $$file) && \
				$(abspath bin/fuzzcost) -test.run '^$$' -test.fuzz '^FuzzCost$$' -test.fuzztime $(FUZZTIME) -test.fuzzcachedir "$$(mktemp -d)") || exit 1; \
			continue; \
		fi; \
		$(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x ./$$(dirname $$file) || exit 1; \
	done; done

.PHONY: clean
clean: ## remove all that was built
	rm -rf bin dist examples/lab/bin
