package sidecar_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/sidecar"
)

var noon = time.Date(2016, 11, 21, 12, 0, 0, 123_000_000, time.UTC)

// sample is an event as the SDK's users make it, with everything there can be.
func sample(id string) event.Event {
	e := cloudevents.NewEvent()
	e.SetID(id)
	e.SetSource("/legacy/node")
	e.SetType("user.joined")
	e.SetSubject("user/zoë & \"co\" 100%")
	e.SetTime(noon)
	e.SetExtension("partitionkey", "ada")
	e.SetExtension("sequence", "01479729600000000000")
	e.SetExtension("dataversion", 2)
	e.SetExtension("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	e.SetExtension("correlationid", "corr")
	e.SetExtension("causationid", "cause")
	if err := e.SetData(cloudevents.ApplicationJSON, map[string]any{"name": "Zoë", "age": 36}); err != nil {
		panic(err)
	}
	return e
}

// asOnTheStream is what must be there of a sample.
func asOnTheStream(id string) events.Event {
	return events.Event{
		ID: id, Source: "/legacy/node", Type: "user.joined", Version: 2, Subject: "user/zoë & \"co\" 100%", Time: noon,
		PartitionKey: "ada", Sequence: "01479729600000000000",
		TraceParent:   "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		CorrelationID: "corr", CausationID: "cause", Data: []byte(`{"age":36,"name":"Zoë"}`),
	}
}

// TestEveryModeOfTheSDK publishes with the client that CloudEvents' users have.
func TestEveryModeOfTheSDK(t *testing.T) {
	w := newWorld(t, nil)
	client, err := cloudevents.NewClientHTTP(cehttp.WithTarget(w.url), cehttp.WithRoundTripper(w.http.Transport))
	if err != nil {
		t.Fatal(err)
	}
	if result := client.Send(t.Context(), sample("binary")); !cloudevents.IsACK(result) {
		t.Errorf("binary: %v", result)
	}
	if result := client.Send(binding.WithForceStructured(t.Context()), sample("structured")); !cloudevents.IsACK(result) {
		t.Errorf("structured: %v", result)
	}
	batch, err := cehttp.NewHTTPRequestFromEvents(t.Context(), w.url, []event.Event{sample("first"), sample("second"), sample("third")})
	if err != nil {
		t.Fatal(err)
	}
	answer := w.do(batch)
	if answer.status != http.StatusOK || len(answer.Events) != 3 {
		t.Fatalf("batch: %+v", answer)
	}
	all := w.read()
	want := []string{"binary", "structured", "first", "second", "third"}
	if len(all) != len(want) {
		t.Fatalf("%d events on the stream", len(all))
	}
	for i, id := range want {
		if diff := cmp.Diff(asOnTheStream(id), all[i].Event); diff != "" {
			t.Errorf("%s: %s", id, diff)
		}
		if i >= 2 && answer.Events[i-2].Position != all[i].pos.String() {
			t.Errorf("%s: said to be at %s, is at %s", id, answer.Events[i-2].Position, all[i].pos)
		}
	}
}

// TestMissingAttributesAreFilledIn: what a plain fetch leaves out.
func TestMissingAttributesAreFilledIn(t *testing.T) {
	w := newWorld(t, func(_ *kinesis.Config, c *sidecar.Config) { c.Now = func() time.Time { return noon } })
	answer := w.post(`{"userId":"ada"}`, binary("1")...)
	if answer.status != http.StatusOK || len(answer.Events) != 1 || answer.Events[0].ID != "1" || answer.Events[0].Kept != "stream" {
		t.Fatalf("%+v", answer)
	}
	e := w.read()[0]
	if written := answer.header.Get(events.HeaderWritten); written != e.pos.String() || written != answer.Events[0].Position {
		t.Errorf("Banyan-Written %q, the event is at %s", written, e.pos)
	}
	if e.Version != 1 || !e.Time.Equal(noon) || len(e.Sequence) != 20 || e.CausationID != e.CorrelationID || len(e.TraceParent) != 55 {
		t.Errorf("filled in: %+v", e)
	}
	if got := answer.header.Get("X-Correlation-Id"); got == "" || got != e.CorrelationID {
		t.Errorf("the answer's correlation id is %q, the event's %q", got, e.CorrelationID)
	}
}

// TestCorrelation: the event's own ids come first, then those of the request.
func TestCorrelation(t *testing.T) {
	w := newWorld(t, nil)
	const trace, other = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-11111111111111111111111111111111-2222222222222222-00"
	for _, c := range []struct {
		name    string
		headers []string
		want    [3]string // trace, correlation, cause; "" means made
	}{
		{"request", []string{"traceparent", trace, "x-correlation-id", "c", "x-causation-id", "x"}, [3]string{trace, "c", "x"}},
		{"no cause", []string{"x-correlation-id", "c"}, [3]string{"", "c", "c"}},
		{"event first", []string{"traceparent", other, "x-correlation-id", "d", "x-causation-id", "y",
			"ce-traceparent", trace, "ce-correlationid", "c", "ce-causationid", "x"}, [3]string{trace, "c", "x"}},
		{"own correlation", []string{"ce-correlationid", "c"}, [3]string{"", "c", "c"}},
		{"unusable", []string{"ce-traceparent", "nonsense", "ce-correlationid", strings.Repeat("x", 200)}, [3]string{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if a := w.post(`{}`, append(binary(c.name), c.headers...)...); a.status != http.StatusOK {
				t.Fatalf("%+v", a)
			}
			all := w.read()
			e := all[len(all)-1]
			for i, got := range []string{e.TraceParent, e.CorrelationID, e.CausationID} {
				if c.want[i] != "" && got != c.want[i] || got == "" || got == "nonsense" || len(got) > 128 {
					t.Errorf("id %d is %q, want %q", i, got, c.want[i])
				}
			}
		})
	}
}

// TestEventsOfABatchShareTheRequest: one trace and one correlation id are made for
// all of them.
func TestEventsOfABatchShareTheRequest(t *testing.T) {
	w := newWorld(t, nil)
	one := `{"specversion":"1.0","id":"%d","source":"/l","type":"t","partitionkey":"ada","data":{}}`
	if a := w.post("["+fmt.Sprintf(one, 1)+","+fmt.Sprintf(one, 2)+"]", "Content-Type", "application/cloudevents-batch+json"); a.status != http.StatusOK {
		t.Fatalf("%+v", a)
	}
	all := w.read()
	if all[0].CorrelationID != all[1].CorrelationID || all[0].TraceParent != all[1].TraceParent || all[0].Sequence >= all[1].Sequence {
		t.Errorf("%+v and %+v", all[0], all[1])
	}
}

// TestUncarriedAttributesAreNamed: nothing is left out without a word.
func TestUncarriedAttributesAreNamed(t *testing.T) {
	w := newWorld(t, nil)
	a := w.post(`{}`, append(binary("1"), "ce-tracestate", "a=b", "ce-dataschema", "http://example.com/s")...)
	if a.status != http.StatusOK || strings.Join(a.Events[0].Dropped, " ") != "dataschema tracestate" {
		t.Errorf("%+v", a)
	}
}

// TestBase64OfJSON is the same event.
func TestBase64OfJSON(t *testing.T) {
	w := newWorld(t, nil)
	a := w.post(`{"specversion":"1.0","id":"1","source":"/l","type":"t","partitionKey":42,"datacontenttype":"application/json","data_base64":"eyJhIjoxfQ=="}`,
		"Content-Type", "application/cloudevents+json; charset=utf-8")
	if a.status != http.StatusOK {
		t.Fatalf("%+v", a)
	}
	if e := w.read()[0]; string(e.Data) != `{"a":1}` || e.PartitionKey != "42" {
		t.Errorf("%s of %s", e.Data, e.PartitionKey)
	}
}
