SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
COMMIT   ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
LDFLAGS   = -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
FUZZTIME ?= 10s
TOOLS    := $(CURDIR)/.tools
GOLANGCI_VERSION := v2.13.2
GOLANGCI := $(TOOLS)/golangci-lint-$(GOLANGCI_VERSION)
CADDY_VERSION := v2.11.9
CADDY    := $(TOOLS)/caddy-$(CADDY_VERSION)

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9_-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/monite-proxy and bin/monite-sim
	@mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

.PHONY: run
run: build ## sidecar and simulator, no credentials needed; against Monite if MONITE_CLIENT_ID is set
	@export MONITE_LOG_FORMAT="$${MONITE_LOG_FORMAT:-console}"; \
	if [ -n "$${MONITE_CLIENT_ID:-}$${MONITE_CLIENT_ID_FILE:-}" ]; then exec bin/monite-proxy; else exec bin/monite-sim -demo -- bin/monite-proxy; fi

.PHONY: sim
sim: build ## the simulator alone, on 127.0.0.1:8090
	@exec bin/monite-sim

# e2e first: it takes longest, and waits while others work. go vet is a part of make lint.
.PHONY: test
test: build ## unit, wire and end-to-end tests, with the race detector
	E2E_BINARIES=$(CURDIR)/bin go test -race -vet=off -shuffle=on -timeout 15m ./e2e ./...

# Of e2e the fault matrix, and the tests of files that hold connections to the
# listener in their own hands; the others see of it what package proxy tests anyway.
.PHONY: test-std
test-std: ## the tests that depend on the listener, with Go's own
	MONITE_LISTENER=std go test ./proxy
	MONITE_LISTENER=std go test -timeout 15m ./e2e -run "^(TestFaults|$$(grep -lE '\.dial\(\)|dialApp\(|appConn|boundsAttack|sendGet\(|\.Data, "http://"|portOf\(s\.Data' e2e/*_test.go | \
	  xargs grep -hoE '^func Test[A-Za-z0-9_]+' | sed 's/^func //' | grep -vx TestMain | paste -sd'|'))$$"

.PHONY: race
race: ## the same three times in a row
	go test -race -shuffle=on -count=3 ./...

.PHONY: e2e
e2e: ## the built binaries from outside at full size, Monite's own JavaScript client included (needs Node)
	E2E_SDK=1 LONG=1 go test -count=1 -v -timeout 20m ./e2e

.PHONY: e2e-sdk
e2e-sdk: ## Monite's own JavaScript client alone (needs Node)
	E2E_SDK=1 go test -count=1 -v -run 'SDK|Node' ./e2e

.PHONY: conformance
conformance: ## the simulator against Monite's published document (MONITE_OPENAPI, or ../shared beside the repository)
	LONG=1 go test -count=1 -v ./proxy/monitetest/conformance

.PHONY: e2e-browser
e2e-browser: ## hostile pages in a real Chromium, which is installed where root and apt-get are at hand
	@command -v chromium >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1 || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 && \
	  (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium) >/dev/null 2>&1; } || \
	  echo "Chromium could not be installed: its tests are skipped"
	E2E_BROWSER=1 go test -count=1 -v -run 'PageOfAnotherOrigin|RebindingPage|AddressInTheBrowser' ./e2e

.PHONY: clients
clients: ## real HTTP clients of nine languages; installs those that Debian and npm have where root and apt-get are at hand
	@[ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1 || (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	  curl wget ruby php-cli php-curl libwww-perl python3-requests python3-httpx python3-aiohttp default-jdk-headless libhttpclient-java libcommons-logging-java \
	  libcommons-codec-java libhttpclient5-java libhttpcore5-java libslf4j-java libokhttp-java) >/dev/null 2>&1 || echo "not everything could be installed: what is missing is named in the table"
	CLIENTS=1 go test -count=1 -v -timeout 20m ./e2e/clients

.PHONY: faults
faults: ## the fault matrix against the built binary, under 10 minutes
	cd e2e && FAULTS=1 go test -count=1 -run '^TestFaults$$' -parallel 16 -timeout 15m

.PHONY: faults-full
faults-full: ## the same with the long cells: 10 GiB bodies, 18,000 idle connections, minutes of stalls
	cd e2e && FAULTS_FULL=1 go test -count=1 -run '^TestFaults$$' -parallel 24 -timeout 25m

.PHONY: ledger
ledger: ## cut the upstream connection at every byte, LEDGER_WRITES times, then for apps that repeat, LEDGER_RETRIES times (1000000 each), and count executions
	LEDGER_WRITES=$${LEDGER_WRITES:-1000000} LEDGER_RETRIES=$${LEDGER_RETRIES:-1000000} \
	  go test -count=1 -v -parallel 1 -timeout 180m -run 'LedgerNo|LedgerWithout' ./e2e

.PHONY: bounds
bounds: ## attack each listener with BOUNDS (3000) connections, and print memory, descriptors and the latency of data meanwhile
	BOUNDS=$${BOUNDS:-3000} go test -count=1 -v -timeout 20m -run 'TestBounds$$' ./e2e

.PHONY: ledger-mutant
ledger-mutant: ## the same with the standard transport swapped in: it must be caught
	LEDGER_MUTANT=1 go test -count=1 -v -run 'TestLedgerCatches' ./internal/mutants

.PHONY: nonce
nonce: ## NONCE_REQUESTS over shared connections, 1 % hostile: no answer may be crossed
	NONCE_REQUESTS=$${NONCE_REQUESTS:-1000000} go test -count=1 -v -timeout 30m -run 'Nonce' ./e2e

.PHONY: sigterm
sigterm: ## stop the sidecar under load E2E_SIGTERM times (100): no request may be dropped
	E2E_SIGTERM=$${E2E_SIGTERM:-100} go test -count=1 -v -timeout 30m -run 'TestSIGTERMUnderLoad' ./e2e

.PHONY: reloads
reloads: ## change the identities file under load E2E_RELOADS times (1000): no request may fail
	E2E_RELOADS=$${E2E_RELOADS:-1000} go test -count=1 -v -timeout 20m -run 'TestReloadsUnderLoad' ./e2e

.PHONY: rotate
rotate: ## change the credentials under load ROTATIONS times (1000), bad pairs in between: no request may fail
	ROTATIONS=$${ROTATIONS:-1000} go test -count=1 -v -timeout 30m -run 'TestRotationUnderLoad' ./e2e

.PHONY: users
users: ## USERS entity users who come once (100000) past a hundred who stay: memory, mints, waiting times
	USERS=$${USERS:-100000} go test -count=1 -v -timeout 30m -run 'TestUsersWhoComeOnce|TestRushOfStrangers' ./e2e ./tokencache

.PHONY: fleet
fleet: ## FLEET replicas (10000) that share tokens, in a bubble, beside as many that do not: the table of docs/fleet.md; the scripts against Redis, DIFFERENTIAL_CALLS times (100000)
	FLEET=$${FLEET:-10000} DIFFERENTIAL_CALLS=$${DIFFERENTIAL_CALLS:-100000} MODEL=$${MODEL:-full} NAMES=$${NAMES:-1000000} \
	  go test -count=1 -v -timeout 60m -run 'TestFleet|TestMemoryDoes|TestModel|TestNoTwoGrants' ./tokencache/redisstore

.PHONY: test-valkey
test-valkey: ## the tests of what replicas share with valkey-server in the place of redis-server
	REDIS_SERVER=valkey-server go test -count=1 ./tokencache/redisstore
	REDIS_SERVER=valkey-server go test -count=1 \
	  -run '^Test(Replica|Holder|NothingSecret|Store|LeastRights|Sentinel|Cluster|RotationThrough|FleetChaos|SharedStore|WriteOfAKilled|ResponseThatWasNotRead|KeyedWrite)' ./e2e

.PHONY: fleet-chaos
fleet-chaos: ## 30 sidecars on a Redis with Sentinels that is killed, stopped, flushed, poisoned and failed over, for FLEET_CHAOS minutes (20)
	FLEET_CHAOS=$${FLEET_CHAOS:-20} go test -count=1 -v -timeout 0 -run 'TestFleetChaos' ./e2e

.PHONY: pairs
pairs: ## PAIRS of grants that look alike (10000000): none may get the token of another
	PAIRS=$${PAIRS:-10000000} go test -count=1 -v -timeout 60m -run 'TestNoTwoGrantsShareAToken' ./tokencache

.PHONY: soak
soak: ## random faults for SOAK (30m), with memory, goroutines and descriptors sampled; SOAK_SEED repeats one
	SOAK=$${SOAK:-30m} go test -count=1 -v -timeout 0 -run 'TestSoak$$' ./e2e

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (10s) each
	bash .ci/fuzz $(FUZZTIME)

.PHONY: targets
targets: ## GUARD_TARGETS (1,000,000) generated request targets: no other place may be dialled
	GUARD_TARGETS=$${GUARD_TARGETS:-1000000} go test -count=1 -v -run 'TestDestination' ./proxy

.PHONY: mutants
mutants: ## break the proxy on purpose, flaw by flaw: each test of a published flaw must fail
	MUTANTS=1 go test -count=1 -v -timeout 60m -run 'MutantsAreCaught' ./internal/mutants

.PHONY: mutation
mutation: ## change single operators and name what no test sees: guard, identity, rewrite, credential step, write records, token cache
	go run ./internal/mutants/mutation proxy/guard.go proxy/rewrite.go proxy/credential.go proxy/identity proxy/writes tokencache

.PHONY: long
long: ## what is shorter in make test at its full size: cuts, crossed answers, pools, models of writes, what outlives a request, crowds
	LONG=1 go test -count=1 -timeout 60m ./e2e ./proxy/... ./cmd/...

.PHONY: bench
bench: ## benchmarks of the pieces, ready for benchstat
	go test -run '^$$' -bench . -benchmem ./...

.PHONY: bench-delay
bench-delay: build ## with upstream 50 ms away: first responses, after idle, percentiles, beside nginx and an app directly (Linux, root)
	go run ./bench/delay

.PHONY: bench-peers
bench-peers: build ## beside nginx, haproxy, caddy and stock Go, interleaved; table and plot in bench/out (BENCH=short proves that it runs)
	bash bench/install.sh
	@[ "$${BENCH:-}" = short ] || $(MAKE) $(CADDY)
	go build -o bin/bench ./bench
	taskset -c 1 bin/bench -caddy $(CADDY)

.PHONY: lint
lint: $(GOLANGCI) ## go vet and golangci-lint
	go vet ./...
	$(GOLANGCI) run ./...

$(GOLANGCI):
	@mkdir -p $(TOOLS)
	GOBIN=$(TOOLS) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv $(TOOLS)/golangci-lint $@

$(CADDY):
	@mkdir -p $(TOOLS)
	GOBIN=$(TOOLS) go install github.com/caddyserver/caddy/v2/cmd/caddy@$(CADDY_VERSION)
	mv $(TOOLS)/caddy $@

.PHONY: generate
generate: ## the generated parts: the tables of docs/, golden files, route tables (OPENAPI=file)
	go test ./config ./internal/house -update
	@if [ -n "$${OPENAPI:-}" ]; then go run ./internal/genroutes -openapi "$$OPENAPI"; fi

.PHONY: verify-deploy
verify-deploy: ## check everything that people deploy with, by whatever tools are here
	bash deploy/verify.sh

.PHONY: deploy-tools
deploy-tools: ## build the tools that verify-deploy uses and that are Go modules into .tools (minutes)
	deploy/verify/tools.sh $(DEPLOY_TOOLS)

.PHONY: recipes
recipes: ## legacy clients in all languages that are installed, with nothing but a base URL changed
	sh deploy/recipes/run.sh

.PHONY: release-twice
release-twice: ## make the release twice, in two folders: the bytes must be the same
	sh deploy/verify/release-twice.sh

.PHONY: pictures
pictures: build ## docs/pictures, from real runs: terminals (needs script, curl and the ports of make run) and the status page (needs chromium)
	go run ./internal/pictures docs/pictures
	bash deploy/observability/pictures.sh bin/pictures
	@if [ -e bin/pictures/page.png ]; then cp bin/pictures/page.png bin/pictures/page-dark.png bin/pictures/page-failing.png docs/pictures/; fi

.PHONY: image
image: ## build the container image monite-proxy:local
	docker build --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) -t monite-proxy:$(VERSION) -t monite-proxy:local .

.PHONY: clean
clean: ## remove what was built
	rm -rf bin .tools dist
