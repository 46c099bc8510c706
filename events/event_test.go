package events_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/correlation"
)

func TestNewFillsTheEnvelope(t *testing.T) {
	before := time.Now()
	ctx := correlation.With(context.Background(), correlation.IDs{
		TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", CorrelationID: "corr", CausationID: "cause",
	})
	e, err := events.New(ctx, "/monolith", placed{Order: "o1", Customer: "c1"})
	if err != nil {
		t.Fatal(err)
	}
	if id, err := uuid.Parse(e.ID); err != nil || id.Version() != 7 {
		t.Errorf("id %q is not a UUIDv7", e.ID)
	}
	if e.Time.Before(before.Add(-time.Second)) || e.Time.After(time.Now()) || e.Time.Location() != time.UTC {
		t.Errorf("time %v", e.Time)
	}
	if e.Source != "/monolith" || e.Type != "order.placed" || e.Version != 3 ||
		e.Subject != "order/o1" || e.PartitionKey != "c1" {
		t.Errorf("envelope %+v", e)
	}
	if e.CorrelationID != "corr" || e.CausationID != "cause" || !strings.HasPrefix(e.TraceParent, "00-0af76519") {
		t.Errorf("correlation %+v", e)
	}
	if err := e.Validate(); err != nil {
		t.Error(err)
	}
}

func TestNewStartsACorrelationWhereThereIsNone(t *testing.T) {
	e, err := events.New(context.Background(), "/monolith", placed{Customer: "u1"})
	if err != nil {
		t.Fatal(err)
	}
	if e.CorrelationID != e.ID || e.CausationID != "" || len(e.TraceParent) != 55 {
		t.Errorf("got %+v", e)
	}
	next, err := events.New(e.Context(context.Background()), "/monolith", placed{Customer: "u2"})
	if err != nil {
		t.Fatal(err)
	}
	if next.Chain != e.Chain+1 || next.Debug {
		t.Errorf("the chain of %d goes on as %d, debug %t", e.Chain, next.Chain, next.Debug)
	}
	if next.CorrelationID != e.CorrelationID || next.CausationID != e.ID || next.TraceParent != e.TraceParent {
		t.Errorf("the effect %+v does not name its cause %+v", next, e)
	}
}

func TestNewRefusesAnEventWithoutAPartitionKey(t *testing.T) {
	_, err := events.New(context.Background(), "/monolith", placed{})
	if !errors.Is(err, events.ErrMalformed) || !strings.Contains(err.Error(), "partitionkey") {
		t.Errorf("got %v", err)
	}
}

func TestFactoryUsesItsParts(t *testing.T) {
	noon := time.Date(2016, 11, 21, 12, 0, 0, 5, time.UTC)
	now := func() time.Time { return noon }
	f := events.Factory{Clock: &events.Clock{Now: now}, Now: now, NewID: func() (string, error) { return "id-1", nil }}
	e, err := f.New(context.Background(), "/x", placed{Customer: "u"})
	if err != nil {
		t.Fatal(err)
	}
	if e.ID != "id-1" || !e.Time.Equal(noon) || e.Sequence != "01479729600000000005" {
		t.Errorf("got %+v", e)
	}
	f.NewID = func() (string, error) { return "", errors.New("no entropy") }
	if _, err := f.New(context.Background(), "/x", placed{Customer: "u"}); err == nil {
		t.Error("an id that could not be made went unnoticed")
	}
}

func TestClockNeverRepeatsOrGoesBack(t *testing.T) {
	wall := time.Unix(1_000_000, 0)
	c := events.Clock{Now: func() time.Time { wall = wall.Add(-time.Second); return wall }}
	last := ""
	for range 1000 {
		next := c.Next()
		if len(next) != 20 || next <= last {
			t.Fatalf("%q after %q", next, last)
		}
		last = next
	}
}

func TestClockIsUniqueAcrossGoroutines(t *testing.T) {
	const workers, each = 8, 2000
	var c events.Clock
	readings := make([][]string, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for range each {
				readings[w] = append(readings[w], c.Next())
			}
		})
	}
	wg.Wait()
	seen := make(map[string]bool, workers*each)
	for _, list := range readings {
		for i, s := range list {
			if seen[s] || i > 0 && s <= list[i-1] {
				t.Fatalf("reading %s repeats or goes back", s)
			}
			seen[s] = true
		}
	}
}
