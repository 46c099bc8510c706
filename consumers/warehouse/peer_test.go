package warehouse_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/consumers/archive"
	"github.com/banyan-fig/banyan/consumers/warehouse"
	"github.com/banyan-fig/banyan/events"
)

// TestPeerDuckDB: an engine that nobody here made loads the rows by the generated schema, writes
// them as Parquet, and its rows of the generated view are the events, each once and whole.
func TestPeerDuckDB(t *testing.T) {
	python := os.Getenv("BANYAN_CONFORMANCE_DUCKDB")
	if python == "" {
		t.Skip("BANYAN_CONFORMANCE_DUCKDB is not set")
	}
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 1))
	catalog, folder := catalogOf(t, orders), t.TempDir()
	table := catalog.Tables()[0]
	want := map[string]map[string]any{}
	var all batch
	for i := range 400 {
		data := map[string]any{}
		for _, c := range table.Columns {
			if c.Member != "" && r.IntN(3) == 0 {
				data[c.Member] = randomValue(r, 2)
			}
		}
		text, err := json.Marshal(data)
		if err != nil {
			t.Fatal(err)
		}
		e := eventOf("order.placed", 1+r.IntN(3), string(text))
		e.ID = fmt.Sprint("e", i)
		raw, err := events.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		for range 1 + r.IntN(2) { // published twice
			all = append(all, warehouse.Event{Position: events.Position{Sequence: fmt.Sprint(1000 + len(all))}, Shard: "shard", Arrived: noon, Raw: raw})
		}
		want[e.ID] = withoutNulls(parse(t, text).(map[string]any))
	}
	l := &warehouse.Loader{Catalog: catalog, Store: archive.NewFiles(folder)}
	if _, err := l.Load(t.Context(), "all", all.all()); err != nil {
		t.Fatal(err)
	}
	got := runDuckDB(t, python, folder, table)
	if len(got) != len(want) {
		t.Errorf("seed %d: the view has %d events, want %d", seed, len(got), len(want))
	}
	for id, data := range want {
		if diff := cmp.Diff(data, got[id], cmp.Comparer(sameNumber)); diff != "" {
			t.Fatalf("seed %d: event %s: %s", seed, id, diff)
		}
	}
}

func withoutNulls(data map[string]any) map[string]any {
	for member, v := range data {
		if v == nil {
			delete(data, member)
		}
	}
	return data
}

// runDuckDB returns the data of the view's rows, by event.
func runDuckDB(t *testing.T, python, folder string, table *warehouse.Table) map[string]map[string]any {
	t.Helper()
	schema, err := table.BigQuery()
	if err != nil {
		t.Fatal(err)
	}
	statements := table.Athena("s3://acme/rows", "2016-11-21")
	view := statements[strings.Index(statements, "CREATE VIEW"):]
	for name, text := range map[string][]byte{"schema.json": schema, "view.sql": []byte(view)} {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(filepath.Join(folder, table.Name), filepath.Join(folder, "rows")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "testdata/peer.py", folder)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]map[string]any{}
	for line := range bytes.Lines(out) {
		row := parse(t, line).(map[string]any)
		id, _ := row["event_id"].(string)
		if got[id] != nil {
			t.Errorf("the view has event %s twice", id)
		}
		got[id] = dataOf(t, table, row)
	}
	return got
}
