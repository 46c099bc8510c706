package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/recommend"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// TestRecommend derives lists and exports the graph, with an id that CSV has to quote.
func TestRecommend(t *testing.T) {
	newLetters(t)                   // for the environment
	db := streamtest.NewDynamoDB(t) // the same one
	table := db.CreateTable(dynamo.CompositeTable)
	m, err := recommend.New(recommend.Config{Client: db.Client(nil), Table: table, Edges: func(m consumers.Message) []recommend.Edge {
		return []recommend.Edge{{From: m.Event.PartitionKey, To: string(m.Raw), Present: true}}
	}})
	if err != nil {
		t.Fatal(err)
	}
	for i, edge := range [][2]string{{"ada", "bob"}, {"bob", `c"y,`}} {
		message := streamtest.Message(t, i+1, social.UserLeft{UserID: edge[0], At: streamtest.Start})
		message.Raw = []byte(edge[1])
		if err := m.Handle(t.Context(), message); err != nil {
			t.Fatal(err)
		}
	}
	check(t, "recommend sweep --table "+table, 0, "derived 0 lists")
	list, err := m.Get(t.Context(), "ada")
	if err != nil || len(list.Suggestions) != 1 || list.Suggestions[0].ID != `c"y,` {
		t.Errorf("%+v, %v", list, err)
	}
	folder := t.TempDir()
	check(t, "recommend export --table "+table+" --to "+folder, 0, "4 nodes, 2 connections", "neo4j-admin")
	check(t, "recommend export --format json --table "+table+" --to "+folder, 0, "2 connections")
	check(t, "recommend export --table none --to "+folder+"/other", 1, "none")
	for name, want := range map[string][]string{
		"nodes.csv":          {"id:ID\n", "ada\n", "bob\n", "\"c\"\"y,\"\n"},
		"relationships.csv":  {":START_ID,:END_ID\n", "ada,bob\n", "bob,\"c\"\"y,\"\n"},
		"connections.ndjson": {`{"from":"ada","to":"bob"}` + "\n", `{"from":"bob","to":"c\"y,"}` + "\n"},
	} {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range want {
			if !strings.Contains(string(text), line) {
				t.Errorf("%s lacks %q: %s", name, line, text)
			}
		}
	}
	if left, _ := filepath.Glob(folder + "/*/*"); len(left) > 0 {
		t.Errorf("a failed export left %v", left)
	}
}
