package streamtest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
)

// Faults stands between a client and DynamoDB and injects faults into one in Every
// requests, by seed: connections that break before or after the effect, throttling, and
// transactions that conflict with others.
type Faults struct {
	Every int
	Next  http.RoundTripper
	// Before is called with each request before it is sent, and may delay it.
	Before func(operation, body string)

	mu       sync.Mutex
	random   *rand.Rand
	injected atomic.Int64
	sent     atomic.Int64
}

// NewFaults injects a fault into one request in every; 0 into none.
func NewFaults(seed uint64, every int) *Faults {
	return &Faults{Every: every, random: rand.New(rand.NewPCG(seed, 7)), Next: http.DefaultTransport}
}

// Injected is how many requests had a fault.
func (f *Faults) Injected() int { return int(f.injected.Load()) }

// Sent is how many requests there were. The SDK's own retries do not count: how many
// there are depends on the machine.
func (f *Faults) Sent() int { return int(f.sent.Load()) }

var errBroken = errors.New("connection broken by the test")

func (f *Faults) draw() int {
	if f.Every == 0 {
		return -1
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.random.IntN(f.Every) > 0 {
		return -1
	}
	f.injected.Add(1)
	return f.random.IntN(4)
}

// RoundTrip is a [http.RoundTripper].
func (f *Faults) RoundTrip(r *http.Request) (*http.Response, error) {
	if attempt := r.Header.Get("Amz-Sdk-Request"); attempt == "" || strings.HasPrefix(attempt, "attempt=1;") {
		f.sent.Add(1)
	}
	if f.Before != nil {
		if err := f.callBefore(r); err != nil {
			return nil, err
		}
	}
	switch f.draw() {
	case 0:
		return nil, errBroken
	case 1:
		if response, err := f.Next.RoundTrip(r); err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}
		return nil, errBroken
	case 2:
		return errorResponse(r, `{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"test"}`), nil
	case 3:
		return f.conflict(r)
	}
	return f.Next.RoundTrip(r)
}

func (f *Faults) callBefore(r *http.Request) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	f.Before(operation, string(body))
	return nil
}

// conflict cancels a transaction because of its first item.
func (f *Faults) conflict(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".TransactWriteItems") {
		return f.Next.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	items := 0
	for _, verb := range []string{`"Put":{`, `"Update":{`, `"Delete":{`, `"ConditionCheck":{`} {
		items += bytes.Count(body, []byte(verb))
	}
	reasons := `{"Code":"TransactionConflict","Message":"test"}` + strings.Repeat(`,{"Code":"None"}`, items-1)
	return errorResponse(r, `{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","message":"test","CancellationReasons":[`+reasons+`]}`), nil
}

func errorResponse(r *http.Request, body string) *http.Response {
	return &http.Response{
		Status: "400 Bad Request", StatusCode: http.StatusBadRequest, Request: r,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body:          io.NopCloser(strings.NewReader(body)),
		ContentLength: int64(len(body)),
	}
}
