package entitytest_test

import (
	"flag"
	"math/rand/v2"
	"net/http"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/matrix"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/services/entity/entitytest"
)

// TestMain lets more tests run at once than there are processors: most of their time is waiting.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

func parse(t *testing.T, text string) *plan.Plan {
	t.Helper()
	p, err := plan.Parse("plan.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// visits are what people do in a shop, under a key that is made of the shop, and moves with it.
const visits = `
entity: visits
source: {collection: visits}
target: {table: visits, key: {type: string, parts: [{template: "{shop}"}, {template: "{day}#{_id}"}]}}
unique: [{field: receipt, table: visits-receipts}, {field: _id, table: visits-ids}]
indexes: [{name: by-customer, key: [customer, minutes]}]
fields:
  - {from: customer, type: objectId}
  - {from: minutes, type: int32}
  - {from: note, to: remark, type: string}
  - {from: picture, type: binary, compressed: true}
  - {from: scratch, drop: true}
versionField: revision
`

// plans are those that Run is tried with; package gateway has the second one, too.
var plans = matrix.Some(1, 2)

func TestVisits(t *testing.T) {
	plans.Skip(t, 0)
	t.Parallel()
	entitytest.Run(t, entitytest.Config{Plan: parse(t, visits)})
}

func TestLoans(t *testing.T) {
	plans.Skip(t, 1)
	t.Parallel()
	entitytest.Run(t, entitytest.Config{Plan: parse(t, entitytest.Loans)})
}

// TestFaults tries each trouble; under the race detector one, by chance.
func TestFaults(t *testing.T) {
	seed := rand.Uint64() >> 8
	troubles := entitytest.Troubles()
	drawn := matrix.Some(1, len(troubles))
	for n, name := range troubles {
		t.Run(name, func(t *testing.T) {
			drawn.Skip(t, n)
			entitytest.Faults(t, entitytest.Config{Plan: parse(t, entitytest.Loans), Seed: seed*uint64(len(troubles)) + uint64(n)})
		})
	}
}

// TestPeerEntity runs the same against somebody else's MongoDB or DynamoDB; see
// infra/sandbox/conformance.
func TestPeerEntity(t *testing.T) {
	cfg := entitytest.Config{Plan: parse(t, entitytest.Loans), MongoDB: os.Getenv("BANYAN_CONFORMANCE_MONGODB")}
	endpoint := os.Getenv("BANYAN_CONFORMANCE_DYNAMODB")
	if cfg.MongoDB == "" && endpoint == "" {
		t.Skip("neither BANYAN_CONFORMANCE_MONGODB nor BANYAN_CONFORMANCE_DYNAMODB names a server")
	}
	if endpoint != "" {
		transport := &http.Transport{MaxIdleConnsPerHost: 16}
		t.Cleanup(transport.CloseIdleConnections)
		cfg.DynamoDB = awsdynamodb.New(awsdynamodb.Options{
			Region: "us-east-1", BaseEndpoint: &endpoint, HTTPClient: &http.Client{Transport: transport},
			Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
		})
	}
	entitytest.Run(t, cfg)
	t.Run("faults", func(t *testing.T) { entitytest.Faults(t, cfg) })
}
