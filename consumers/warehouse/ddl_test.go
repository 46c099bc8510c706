package warehouse_test

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/events"
)

var update = flag.Bool("update", false, "write the golden files")

// TestSchemas: what is generated is what was reviewed, for the types of another company.
func TestSchemas(t *testing.T) {
	old := events.MustRegistry(events.Define(OrderPlaced1{OrderID: "1"}, "the order"))
	table := catalogOf(t, old).Tables()[0]
	bigQuery, err := table.BigQuery()
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{
		"bigquery.json": string(bigQuery),
		"athena.sql":    table.Athena("s3://acme/rows", "2026-11-30"),
		"redshift.sql":  table.Redshift("s3://acme/rows", "arn:aws:iam::123456789012:role/o'load", "2026-11-30"),
	} {
		file := "testdata/" + name
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (run with -update if this is right): %s", file, diff)
		}
	}
	// A later version only appends columns.
	for i, c := range catalogOf(t, orders).Tables()[0].Columns[:len(table.Columns)] {
		if c != table.Columns[i] {
			t.Errorf("column %d was %+v, and is %+v with version 2", i, table.Columns[i], c)
		}
	}
}
