# Banyan. `make help` lists what can be done.

SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
GO          ?= go
BIN         := bin
# What banyan-deploy takes for a function: a program that imports aws-lambda-go/lambda.
FUNCTIONS    = $(shell $(GO) list -f '{{if eq .Name "main"}}{{range .Deps}}{{if eq . "github.com/aws/aws-lambda-go/lambda"}}{{$$.Dir}}{{end}}{{end}}{{end}}' ./... | grep -v /internal/)
# All of staticcheck's checks, but for: package comments in every file's package (they live in doc.go),
# matters of taste in names, error texts that begin with a proper name, and receiver names.
CHECKS_OF_STATICCHECK := all,-ST1000,-ST1003,-ST1005,-ST1016
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOTESTSUM   := gotest.tools/gotestsum@v1.13.0

# Of demo, chaos and up:
SIZE   ?= 10000# users
RATE   ?= 200# requests a second
DATA   ?=# a mongoexport file of users instead of generated ones
REPORT ?=# a file for the summary as JSON
SEED   ?= 1# what is generated, and which faults come when
SEEDS  ?= 1-100# of chaos-seeds

LOAD_OF_APPS = --size $(SIZE) --rate $(RATE) $(if $(DATA),--data $(DATA))
WORLD  = $(LOAD_OF_APPS) --seed $(SEED) $(if $(REPORT),--report $(REPORT))
FUZZTIME ?= 5s
EVENTS   ?= 1200000# of the simulation
SWITCHES ?= 4# of the owner in the simulation, there and back
# What infra/matrix thins out under the race detector.
THINNED   = CommandsAreKilledLostLateOrRepeated$$|^Test(Replaced|Restored|Modified|Stray|KeysBy|KilledAt|APlanThatWasEdited|AnAbandonmentThatSleeps)|$\
	^Test(AVerificationThatDoesNot|Migration(Under|Among)|Simulation|ConcurrentSimulation)|KilledForReal|SleepsThrough|UnderChaos|^Test(Faults|Visits|Loans)$$

.PHONY: help
help: ## List the targets
	@awk -F':.*## ' '/^##@ / { printf "\n%s\n", substr($$0, 5) } /^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  make demo SIZE=100000 RATE=300 REPORT=report.json     the demo, larger, with its summary as JSON"
	@echo "  make demo DATA=users.json                             the demo on a mongoexport file of users"
	@echo "  make chaos SEED=7                                     the demo under the faults of seed 7"

# The commit, for --version, where Go does not stamp it itself.
COMMIT := $(shell git rev-parse --short HEAD 2>/dev/null)
STAMP   = $(if $(COMMIT),-ldflags '-X github.com/banyan-fig/banyan/infra/serving.commit=$(COMMIT)')

##@ Try it

.PHONY: demo
demo: build ## Strangle a monolith before your eyes: needs only Go
	@$(BIN)/banyan-demo run $(WORLD)

.PHONY: chaos
chaos: build ## The demo while throttles, time-outs, duplicates and SIGKILLs are injected
	@$(BIN)/banyan-demo run --chaos $(WORLD)

.PHONY: chaos-seeds
chaos-seeds: build ## The same with each of SEEDS (1-100), a line a seed
	@$(BIN)/banyan-demo seeds $(LOAD_OF_APPS) $(SEEDS)

.PHONY: up
up: build ## The same world left running, to play with by curl
	@$(BIN)/banyan-demo up $(WORLD)

.PHONY: build
build: ## Build every binary and function into bin/
	@mkdir -p $(BIN)
	@$(GO) build $(STAMP) -o $(BIN)/ ./infra/sandbox/cmd/... ./infra/demo/cmd/... ./proxy/cmd/... ./migrate/cmd/... ./services/social/users/cmd/... ./services/social/cmd/... ./services/social/timeline/cmd/banyan-timeline ./services/social/monolith/cmd/... ./publishers/cmd/banyan-publish ./consumers/cmd/banyan-consume ./consumers/cmd/banyan-notify ./infra/deploy/cmd/... ./infra/capacity/cmd/...
	@$(GO) build -tags lambda.norpc -o $(BIN)/functions/built/ $(FUNCTIONS) # together, so that they are linked side by side
	@for f in $(BIN)/functions/built/*; do mkdir -p $(BIN)/functions/$$(basename $$f); ln -f $$f $(BIN)/functions/$$(basename $$f)/bootstrap; done

##@ Test it

# make lint vets, and test binaries need no debug information: both are time of a first run.
QUICK := -vet=off -ldflags=-w

# $(call tests,flags,packages) runs tests; with RERUN=1, up to three that failed run once more, and are named.
# A data race refuses all the same.
tests = report=$$(mktemp); trap 'rm -f $$report' EXIT; \
	GORACE=atexit_sleep_ms=10 $(GO) run $(GOTESTSUM) --format pkgname-and-test-fails --packages "$(2)" \
		$(if $(RERUN),--rerun-fails=1 --rerun-fails-max-failures=3 --rerun-fails-abort-on-data-race --rerun-fails-run-root-test --rerun-fails-report $$report) \
		-- $(1) && \
	{ [ ! -s $$report ] || { echo "UNSTEADY: these failed, and passed when they ran again (their output is above); each is a fault to be found"; cat $$report; }; }

.PHONY: test
test: ## All tests, and what was skipped, by name; RACE=1 adds the race detector (needs a C compiler), RERUN=1 a second try for up to three
	@$(call tests,$(if $(RACE),-race) $(QUICK) -shuffle=on -timeout 20m,./...)

.PHONY: check
check: lint ## What a change must pass: lint, all tests with the race detector, a short fuzz
	@$(MAKE) test RACE=1
	@$(MAKE) fuzz

.PHONY: lint
lint: ## gofmt, vet, staticcheck
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) -checks '$(CHECKS_OF_STATICCHECK)' ./...

.PHONY: fuzz
fuzz: ## Every fuzz target for FUZZTIME (5s each), each package built once
	@built=$$(mktemp -d); trap 'rm -rf $$built' EXIT; corpus=$$($(GO) env GOCACHE)/fuzz/$$($(GO) list -m); \
	grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u | while read -r dir; do \
		$(GO) test -c $(QUICK) -fuzz=. -o $$built/ $$dir; \
		for f in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$dir/*_test.go); do echo "$$dir $$f"; \
			(cd $$dir && $$built/*.test -test.run='^$$' -test.fuzz="^$$f\$$" -test.fuzztime=$(FUZZTIME) -test.fuzzcachedir=$$corpus/$${dir#./}) 2>&1 | \
				grep -v '^fuzz: elapsed'; \
		done; rm $$built/*; done

.PHONY: simulate
simulate: ## Order and losses over EVENTS (1,200,000) under seeded faults and reshards; migrations under every fault of every command
	BANYAN_SIMULATION_EVENTS=$(EVENTS) $(GO) test -count=1 -timeout 10m -run '^(TestSimulation|TestPublishDoesNotAllocate)$$' -v ./publishers/kinesis | grep -v '^=== '
	@$(call tests,-count=1 -timeout 25m -run '$(THINNED)',./migrate ./migrate/target ./migrate/reverse ./migrate/ownership ./migrate/cmd/banyan-migrate ./services/entity/entitytest ./infra/ops/autoscale)
	BANYAN_SIMULATION_SWITCHES=$(SWITCHES) $(GO) test -count=1 -timeout 20m -run '^TestMigrationThereAndBack' -v ./migrate | grep -v '^=== '

.PHONY: model
model: ## The protocol of names and switch, and every mutation of it, by the model checker Spin (needs spin and gcc)
	@$(GO) run ./migrate/model

##@ Test it against other implementations, which are set up for it

.PHONY: conformance
conformance: ## The sandbox's suites against the sandbox and against real parts (sets these up: needs Java, Maven or npm, Node, Python)
	@bash infra/sandbox/conformance/run.sh

.PHONY: conformance-search
conformance-search: ## The suite of search indexes against a real OpenSearch (sets it up: needs Java and Maven)
	@bash infra/sandbox/conformance/opensearch.sh $(GO) test -count=1 -run Peer ./consumers/search/opensearch

.PHONY: conformance-proxy
conformance-proxy: ## The proxy's suite against banyan-proxy, nginx and HAProxy: who does what (installs these where it can)
	@GO="$(GO)" bash proxy/conformance/run.sh

.PHONY: gateway-clients
gateway-clients: ## The gateway from Node.js, while an entity is switched, and by generated clients (sets these up: needs Node, npm, Python)
	@GO="$(GO)" bash services/entity/gateway/example/clients.sh

.PHONY: demo-peers
demo-peers: build ## The demo on DynamoDB Local and kinesis-local, then on SecantusDB, instead of the sandbox's
	@bash infra/sandbox/conformance/demo-peers.sh

.PHONY: infra-test
infra-test: ## The Terraform modules: form, validity, lint, policy, and an apply to moto (builds OpenTofu once: some minutes)
	@bash infra/terraform/test/run.sh $(CHECKS)

##@ Deploy and measure it

.PHONY: functions
functions: ## Every function for Lambda, reproducibly, arm64 and x86_64, into bin/dist with a manifest
	@$(GO) run ./infra/deploy/cmd/banyan-deploy build

.PHONY: capacity
capacity: ## What a load needs and costs: make capacity RATE=1000000 SIZE=500 LOAD="--read-models 3" (--help in LOAD)
	@$(GO) run ./infra/capacity/cmd/banyan-capacity $(if $(filter command environment,$(firstword $(origin RATE))),--rate $(RATE)) $(if $(filter command environment,$(firstword $(origin SIZE))),--size $(SIZE)) $(LOAD)

.PHONY: bench-publisher
bench-publisher: ## What publishing costs beside plain PutRecords (JSON=1: a line a figure; BENCH="--quick" for half a minute)
	$(GO) run ./publishers/kinesis/bench $(BENCH)

.PHONY: bench-consumer
bench-consumer: ## What an event costs to consume, its way to a read model, starts and archives of functions (JSON=1, BENCH as above)
	@$(GO) run ./consumers/bench $(BENCH)

.PHONY: bench-migrate
bench-migrate: ## What a migration costs beside BatchWriteItem, on the sandbox and DynamoDB Local (JSON=1, BENCH as above)
	@$(GO) run ./migrate/bench $(BENCH)

.PHONY: bench-proxy
bench-proxy: ## CPU of a request through banyan-proxy beside nginx, HAProxy, Caddy and a bare ReverseProxy (JSON=1, BENCH as above)
	@$(GO) run ./proxy/bench $(BENCH)

.PHONY: bench-recommend
bench-recommend: ## How good bounded suggestions are beside a brute-force answer, on a generated graph of 100,000 users
	BANYAN_RECOMMEND_USERS=100000 $(GO) test -count=1 -timeout=60m -v -run '^TestQuality$$' ./consumers/recommend

.PHONY: bench-gateway
bench-gateway: ## CPU of a read through banyan-entity beside that of a handler with nothing but the SDK's call
	@$(GO) test ./services/entity/gateway -run '^$$' -bench PointRead -benchtime 20x

##@ Clean up

.PHONY: clean
clean: ## Remove what was built or set up here
	rm -rf $(BIN) .cache
