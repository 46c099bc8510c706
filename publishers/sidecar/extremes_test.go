package sidecar_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/events"
)

// TestTheLargestEventWithTheLongestKey: 256 characters of four bytes each are a
// partition key, and an event that fills the record to the last byte is published. One
// byte more is refused, and so is one character more.
func TestTheLargestEventWithTheLongestKey(t *testing.T) {
	w := newWorld(t, nil)
	key := strings.Repeat("🌳", events.MaxPartitionKey)
	headers := func(key, id string) []string {
		return []string{
			"ce-specversion", "1.0", "ce-id", id, "ce-source", "/legacy", "ce-type", "order.placed",
			"ce-time", "2026-01-02T03:04:05Z", "ce-partitionkey", url.PathEscape(key), "content-type", "application/json",
		}
	}
	if a := w.post(`""`, headers(key, "1")...); a.status != 200 {
		t.Fatalf("%+v", a)
	}
	smallest, err := events.Encode(w.read()[0].Event)
	if err != nil {
		t.Fatal(err)
	}
	room := 1<<20 - len(smallest) - len(key)
	if a := w.post(`"`+strings.Repeat("x", room)+`"`, headers(key, "2")...); a.status != 200 || a.Events[0].Kept != "stream" {
		t.Errorf("the largest event: %+v", a)
	}
	if got := w.read(); len(got) != 2 || len(got[1].Data) != room+2 || got[1].PartitionKey != key {
		t.Errorf("%d events are on the stream", len(got))
	}
	if a := w.post(`"`+strings.Repeat("x", room+1)+`"`, headers(key, "3")...); a.status != 413 {
		t.Errorf("one byte more: %+v", a)
	}
	if a := w.post(`""`, headers(key+"🌳", "4")...); a.status != 400 || !strings.Contains(a.Detail, "partitionkey") {
		t.Errorf("one character more: %+v", a)
	}
}
