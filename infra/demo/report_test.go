package demo

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each number that must hold is checked: a report with one of them wrong names
// prints it.
func TestEachBrokenInvariantIsNamed(t *testing.T) {
	good := Report{Requests: 1, EventsPublished: 1, Documents: 1, WriteHoldMS: 200, DeadLetters: 2, DeadLettersWanted: 2}
	ok := good
	if ok.checkInvariants(); len(ok.Broken) != 0 {
		t.Fatalf("a good report is checked %v", ok.Broken)
	}
	for want, spoil := range map[string]func(*Report){
		"no request":               func(r *Report) { r.Requests = 0 },
		"no event":                 func(r *Report) { r.EventsPublished = 0 },
		"no document":              func(r *Report) { r.Documents = 0 },
		"3 requests failed":        func(r *Report) { r.FailedRequests = 3 },
		"1 events were lost":       func(r *Report) { r.EventsLost = 1 },
		"changes of 6 users":       func(r *Report) { r.OutOfOrder = 6 },
		"2 effects":                func(r *Report) { r.EventsAppliedTwice = 2 },
		"5 reads":                  func(r *Report) { r.ReadYourWritesViolation = 5 },
		"4 documents differ":       func(r *Report) { r.Mismatches = 4 },
		"longest write hold was 0": func(r *Report) { r.WriteHoldMS = 0 },
		"hold was 1000 ms":         func(r *Report) { r.WriteHoldMS = 1000 },
		"1 dead letters":           func(r *Report) { r.DeadLetters = 1 },
		"no instance of a service": func(r *Report) { r.Chaos = true },
	} {
		r := good
		spoil(&r)
		r.checkInvariants()
		if len(r.Broken) != 1 || !strings.Contains(r.Broken[0], want) {
			t.Errorf("want one complaint with %q, got %q", want, r.Broken)
		}
		var out bytes.Buffer
		if r.print(newScreen(&out)); !strings.Contains(out.String(), r.Broken[0]) {
			t.Errorf("%q is not shown", want)
		}
	}
	killed := good
	killed.Chaos, killed.ServiceKills, killed.WriteHoldMS = true, 1, 5999
	if killed.checkInvariants(); len(killed.Broken) != 0 {
		t.Errorf("what another process finished in time is checked %v", killed.Broken)
	}
	var out bytes.Buffer
	unchecked := good
	if unchecked.print(newScreen(&out)); strings.Contains(out.String(), "no app noticed") {
		t.Error("a run that did not end is praised")
	}
}

func TestReportKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.json")
	if err := new(Report).save(path); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	for key := range strings.FieldsSeq("requests failed_requests events_published events_lost events_applied_twice " +
		"read_your_writes_violations documents mismatches write_hold_ms p50_ms p99_ms lag_p99_ms") {
		if _, ok := got[key]; !ok {
			t.Errorf("the report lacks %s", key)
		}
	}
}
