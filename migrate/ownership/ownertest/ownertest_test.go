package ownertest_test

import (
	"context"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/migrate/ownership/ownertest"
	"github.com/banyan-fig/banyan/migrate/plan"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func config(t *testing.T, mistake string) ownertest.Config {
	t.Helper()
	p, err := plan.Parse("notes.yaml", []byte(notesPlan))
	if err != nil {
		t.Fatal(err)
	}
	return ownertest.Config{Plan: p, Open: openNotes(mistake)}
}

// TestAnOwnerThatKeepsEveryRule passes.
func TestAnOwnerThatKeepsEveryRule(t *testing.T) { ownertest.Run(t, config(t, "")) }

// TestPeerOwner runs the same against somebody else's MongoDB or DynamoDB; see
// infra/sandbox/conformance.
func TestPeerOwner(t *testing.T) {
	cfg, endpoint := config(t, ""), os.Getenv("BANYAN_CONFORMANCE_DYNAMODB")
	if cfg.MongoDB = os.Getenv("BANYAN_CONFORMANCE_MONGODB"); cfg.MongoDB == "" && endpoint == "" {
		t.Skip("neither BANYAN_CONFORMANCE_MONGODB nor BANYAN_CONFORMANCE_DYNAMODB names a server")
	}
	if endpoint != "" {
		transport := &http.Transport{}
		t.Cleanup(transport.CloseIdleConnections)
		cfg.DynamoDB = awsdynamodb.New(awsdynamodb.Options{
			Region: "us-east-1", BaseEndpoint: &endpoint, HTTPClient: &http.Client{Transport: transport},
			Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
		})
	}
	for _, r := range ownertest.Rules() {
		t.Run(r.Name, func(t *testing.T) {
			if strings.HasPrefix(r.Name, "A late write") && cfg.MongoDB != "" && processOf(t, cfg.MongoDB) == "secantus" {
				t.Skip("SecantusDB accepts writes to views, and takes no collectionUUID")
			}
			if err := r.Check(t, cfg); err != nil {
				t.Error(err)
			}
		})
	}
}

// processOf is what the server calls itself.
func processOf(t *testing.T, uri string) string {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Disconnect(context.Background()) }()
	var status struct{ Process string }
	if err := client.Database("admin").RunCommand(t.Context(), bson.D{{Key: "serverStatus", Value: 1}}).Decode(&status); err != nil {
		t.Fatal(err)
	}
	return status.Process
}

// TestEachMistakeBreaksItsRule: the kit finds each.
func TestEachMistakeBreaksItsRule(t *testing.T) {
	for mistake, rules := range map[string][]string{
		"ignores the name in the grant":         {"A write goes to the collection that the grant names"},
		"does not name the UUID":                {"A late write finds the collection or nothing"},
		"believes that nothing was found":       {"Nothing found under a name that moved is fenced", "A late write finds the collection or nothing"},
		"reads whatever has the name":           {"A read finds the collection or is fenced"},
		"replaces the document":                 {"Fields that the service does not know are kept"},
		"creates without an epoch":              {"Every item that the owner writes carries its epoch"},
		"updates without an epoch":              {"Every item that the owner writes carries its epoch", "A late change overwrites nothing of the owner's"},
		"looks at the epoch only when it reads": {"A write under an older epoch is refused by the store"},
		"deletes plainly":                       {"A late copy brings back nothing that the owner deleted"},
		"reads tombstones":                      {"A tombstone reads as absent, and gives way to a create"},
		"puts the item that it knows":           {"Attributes that the service does not know are kept"},
		"claims no unique value":                {"A unique value belongs to one entity, with an entry of its own"},
	} {
		t.Run(mistake, func(t *testing.T) {
			t.Parallel()
			for _, r := range ownertest.Rules() {
				if slices.Contains(rules, r.Name) && r.Check(t, config(t, mistake)) == nil {
					t.Errorf("the kit did not find that the rule %q is broken", r.Name)
				}
				rules = slices.DeleteFunc(rules, func(name string) bool { return name == r.Name })
			}
			if len(rules) > 0 {
				t.Errorf("there are no rules %q", rules)
			}
		})
	}
}

// TestARunThatContinuesAfterTheSwitchBringsNothingBack: where the owner leaves tombstones,
// a copy that was stopped in the middle finds them; where it deletes plainly, the copy
// fills the gaps, and what was deleted is there again.
func TestARunThatContinuesAfterTheSwitchBringsNothingBack(t *testing.T) {
	rules := ownertest.Rules()
	i := slices.IndexFunc(rules, func(r ownertest.Rule) bool { return strings.HasPrefix(r.Name, "A late copy") })
	if err := rules[i].Check(t, config(t, "")); err != nil {
		t.Error(err)
	}
	err := rules[i].Check(t, config(t, "deletes plainly"))
	if err == nil || !strings.Contains(err.Error(), `which does not exist = "one", true`) {
		t.Errorf("with plain deletes: %v, want documents that are back", err)
	}
}

// TestEveryRuleIsInTheContract, by its name.
func TestEveryRuleIsInTheContract(t *testing.T) {
	contract, err := os.ReadFile("../CONTRACT.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range ownertest.Rules() {
		if !strings.Contains(string(contract), r.Name) {
			t.Errorf("CONTRACT.md lacks the rule %q", r.Name)
		}
	}
}
