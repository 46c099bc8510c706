package events_test

import (
	"encoding/json"
	"testing"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/events"
)

// Whoever reads the stream with the official library must find everything.
func TestTheOfficialLibraryReadsWhatEncodeWrites(t *testing.T) {
	want := change(func(e *events.Event) { e.Chain, e.Debug = 3, true })
	b, err := events.Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	var got cloudevents.Event
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if err := got.Validate(); err != nil {
		t.Fatal(err)
	}
	version, err := types.ToInteger(got.Extensions()["dataversion"])
	if err != nil {
		t.Errorf("dataversion: %v", err)
	}
	chain, err := types.ToInteger(got.Extensions()["callchain"])
	if err != nil {
		t.Errorf("callchain: %v", err)
	}
	debug, err := types.ToBool(got.Extensions()["debuglog"])
	if err != nil {
		t.Errorf("debuglog: %v", err)
	}
	back := events.Event{
		ID: got.ID(), Source: got.Source(), Type: got.Type(), Version: int(version), Subject: got.Subject(), Time: got.Time(),
		PartitionKey: text(t, got, "partitionkey"), Sequence: text(t, got, "sequence"), TraceParent: text(t, got, "traceparent"),
		CorrelationID: text(t, got, "correlationid"), CausationID: text(t, got, "causationid"), Data: got.Data(),
		Chain: int(chain), Debug: debug,
	}
	if diff := cmp.Diff(want, back); diff != "" {
		t.Error(diff)
	}
	if got.DataContentType() != "application/json" || got.SpecVersion() != "1.0" || len(got.Extensions()) != 8 {
		t.Errorf("got %v", got)
	}
}

func text(t *testing.T, e cloudevents.Event, name string) string {
	t.Helper()
	s, err := types.ToString(e.Extensions()[name])
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	return s
}

func TestDecodeReadsWhatTheOfficialLibraryWrites(t *testing.T) {
	want := change(func(e *events.Event) { e.Chain, e.Debug = 3, true })
	ce := cloudevents.NewEvent()
	ce.SetID(want.ID)
	ce.SetSource(want.Source)
	ce.SetType(want.Type)
	ce.SetSubject(want.Subject)
	ce.SetTime(want.Time)
	ce.SetExtension("dataversion", want.Version)
	ce.SetExtension("partitionkey", want.PartitionKey)
	ce.SetExtension("sequence", want.Sequence)
	ce.SetExtension("traceparent", want.TraceParent)
	ce.SetExtension("correlationid", want.CorrelationID)
	ce.SetExtension("causationid", want.CausationID)
	ce.SetExtension("callchain", want.Chain)
	ce.SetExtension("debuglog", want.Debug)
	ce.SetExtension("somebodyelses", true)
	if err := ce.SetData(cloudevents.ApplicationJSON, want.Data); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(ce)
	if err != nil {
		t.Fatal(err)
	}
	got, err := events.Decode(b)
	if err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
