package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/banyan-fig/banyan/events"
)

// load are callers, one for each partition key, who publish one event after the
// other by the SDK's client and repeat what was not acknowledged, with the same id.
type load struct {
	w      *world
	target atomic.Pointer[string]
	stop   chan struct{}
	wait   sync.WaitGroup

	mu           sync.Mutex
	acknowledged map[string]int // by key, how many, in a row
}

// newLoad starts callers for keys.
func (w *world) newLoad(url string, keys int) *load {
	w.t.Helper()
	l := &load{w: w, stop: make(chan struct{}), acknowledged: map[string]int{}}
	l.target.Store(&url)
	for k := range keys {
		l.wait.Go(func() { l.call(fmt.Sprintf("key-%d", k)) })
	}
	w.t.Cleanup(l.end)
	return l
}

func (l *load) end() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.wait.Wait()
}

// moveTo tells callers where the sidecar is from now on.
func (l *load) moveTo(url string) { l.target.Store(&url) }

func (l *load) call(key string) {
	transport := &http.Transport{MaxIdleConnsPerHost: 1}
	defer transport.CloseIdleConnections()
	client, err := cloudevents.NewClientHTTP(cehttp.WithRoundTripper(transport))
	if err != nil {
		l.w.t.Error(err)
		return
	}
	for n := 0; ; n++ {
		for !l.publish(client, numbered(key, n)) {
			select {
			case <-l.stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
		l.mu.Lock()
		l.acknowledged[key] = n + 1
		l.mu.Unlock()
		select {
		case <-l.stop:
			return
		default:
		}
	}
}

func (l *load) publish(client cloudevents.Client, e event.Event) bool {
	ctx, cancel := context.WithTimeout(cloudevents.ContextWithTarget(context.Background(), *l.target.Load()), 10*time.Second)
	defer cancel()
	return cloudevents.IsACK(client.Send(ctx, e))
}

func (l *load) count() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, of := range l.acknowledged {
		n += of
	}
	return n
}

func numbered(key string, n int) event.Event {
	e := cloudevents.NewEvent()
	e.SetID(fmt.Sprintf("%s/%d", key, n))
	e.SetSource("/legacy")
	e.SetType("counted")
	e.SetExtension("partitionkey", key)
	if err := e.SetData(cloudevents.ApplicationJSON, map[string]int{"n": n}); err != nil {
		panic(err)
	}
	return e
}

// missing tells what of the acknowledged events is not among all, or is there for
// the first time behind a successor.
func (l *load) missing(all []events.Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := map[string]int{}
	for _, e := range all {
		switch n := next[e.PartitionKey]; e.ID {
		case fmt.Sprintf("%s/%d", e.PartitionKey, n):
			next[e.PartitionKey]++
		default:
			var seen int
			if _, err := fmt.Sscanf(e.ID, e.PartitionKey+"/%d", &seen); err != nil || seen > n {
				return fmt.Errorf("%s comes where %s/%d is due", e.ID, e.PartitionKey, n)
			}
		}
	}
	for key, n := range l.acknowledged {
		if next[key] < n {
			return fmt.Errorf("of %s, %d events were acknowledged, and %d are on the stream", key, n, next[key])
		}
	}
	return nil
}

func TestMissingFindsWhatIsMissing(t *testing.T) {
	l := &load{acknowledged: map[string]int{"a": 2}}
	e := func(id string) events.Event { return events.Event{ID: id, PartitionKey: id[:1]} }
	for _, bad := range [][]events.Event{{}, {e("a/0")}, {e("a/1"), e("a/0")}, {e("a/0"), e("a/2"), e("a/1")}} {
		if l.missing(bad) == nil {
			t.Errorf("%v passes", bad)
		}
	}
	for _, good := range [][]events.Event{{e("a/0"), e("a/1")}, {e("a/0"), e("b/0"), e("a/0"), e("a/1"), e("a/2")}} {
		if err := l.missing(good); err != nil {
			t.Error(err)
		}
	}
}
