package publisherstest_test

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/publishers/publisherstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCheckOrder(t *testing.T) {
	for name, c := range map[string]struct {
		numbers []int
		n       int
		wrong   string
	}{
		"in order":              {[]int{0, 1, 2}, 3, ""},
		"nothing of nothing":    {nil, 0, ""},
		"all of it again":       {[]int{0, 1, 0, 1, 2}, 3, ""},
		"a tail again":          {[]int{0, 1, 2, 1, 2}, 3, ""},
		"the last again":        {[]int{0, 1, 1}, 2, ""},
		"swapped":               {[]int{1, 0}, 2, "event 1 came before event 0"},
		"a gap":                 {[]int{0, 2}, 3, "event 2 came before event 1"},
		"the end is lost":       {[]int{0, 1}, 3, "ends with event 1 of 3"},
		"behind its successor":  {[]int{0, 1, 2, 1}, 3, "ends with event 1 of 3"},
		"all lost":              {nil, 1, "ends with event -1 of 1"},
		"more than there was":   {[]int{0, 1}, 1, "ends with event 1 of 1"},
		"a gap in the repeated": {[]int{0, 1, 2, 0, 2}, 3, "event 2 came before event 1"},
	} {
		err := publisherstest.CheckOrder("k", c.numbers, c.n)
		if c.wrong == "" && err != nil || c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
			t.Errorf("%s: got %v, want %q", name, err, c.wrong)
		}
	}
}

func TestLedger(t *testing.T) {
	var l publisherstest.Ledger
	var kept []publisherstest.Record
	for _, key := range []string{"a", "b#1#", "a", "a", "é"} {
		body, _ := l.Next(key)
		kept = append(kept, publisherstest.Record{PartitionKey: key, Data: body})
	}
	if n, err := l.Check(kept); n != 0 || err != nil || l.Len() != 5 {
		t.Errorf("%d duplicates, %v, of %d", n, err, l.Len())
	}
	if n, err := l.Check(append(kept, kept[3])); n != 1 || err != nil {
		t.Errorf("%d duplicates, %v", n, err)
	}
	for what, wrong := range map[string][]publisherstest.Record{
		"ends with event 1 of 3": kept[:3],
		"key b#1#":               append(append([]publisherstest.Record{}, kept[:1]...), kept[2:]...),
		"was never published":    append(kept, publisherstest.Record{PartitionKey: "c", Data: publisherstest.Body("c", 0)}),
		"of key \"a\" was never": append(kept, publisherstest.Record{PartitionKey: "a", Data: []byte("b#0#")}),
	} {
		if _, err := l.Check(wrong); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("got %v, want %q", err, what)
		}
	}
}
