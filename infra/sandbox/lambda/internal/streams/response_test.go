package streams_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/sandbox/lambda/internal/streams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func numbered(n int) []streams.Record {
	out := make([]streams.Record, n)
	for i := range out {
		out[i] = streams.Record{Sequence: fmt.Sprint(100 + i), Key: "k", Event: []byte(fmt.Sprint(i))}
	}
	return out
}

func TestFailures(t *testing.T) {
	for _, c := range []struct {
		response string
		want     int // the first index; -1 for a success
	}{
		{``, -1}, {`null`, -1}, {`{}`, -1}, {`{"batchItemFailures":null}`, -1},
		{`{"batchItemFailures":[]}`, -1}, {`{"other":1}`, -1},
		{`{"batchItemFailures":[{"itemIdentifier":"102"}]}`, 2},
		{`{"batchItemFailures":[{"itemIdentifier":"104"},{"itemIdentifier":"101"},{"itemIdentifier":"103"}]}`, 1},
		{`{"batchItemFailures":[{"itemIdentifier":""}]}`, 0}, {`{"batchItemFailures":[{"itemIdentifier":null}]}`, 0},
		{`{"batchItemFailures":[{"wrong":"102"}]}`, 0}, {`{"batchItemFailures":[{"itemIdentifier":"999"}]}`, 0},
		{`{"batchItemFailures":[{"itemIdentifier":"102"},{"itemIdentifier":"999"}]}`, 0},
		{`"ok"`, 0}, {`[]`, 0}, {`{"batchItemFailures":"102"}`, 0}, {`{"batchItemFailures":[{"itemIdentifier":102}]}`, 0}, {`{`, 0},
	} {
		got := streams.Failures(streams.Outcome{Payload: []byte(c.response)}, numbered(5), true)
		if !slices.IsSorted(got) || c.want != append(slices.Clone(got), -1)[0] {
			t.Errorf("%s: %d, not %d", c.response, got, c.want)
		}
	}
}

// Whatever a function answers, the checkpoint is in the batch.
func FuzzFailures(f *testing.F) {
	f.Add(`{"batchItemFailures":[{"itemIdentifier":"101"}]}`)
	f.Add(`null`)
	f.Add(`{"batchItemFailures":[{"itemIdentifier":null},{}]}`)
	f.Fuzz(func(t *testing.T, response string) {
		got := streams.Failures(streams.Outcome{Payload: []byte(response)}, numbered(3), true)
		if len(got) > 3 || len(got) > 0 && (got[0] < 0 || got[len(got)-1] > 2) {
			t.Errorf("%q: %d", response, got)
		}
	})
}

func TestFits(t *testing.T) {
	big := streams.Record{Event: []byte(`"` + strings.Repeat("x", streams.MaxPayload/2-10) + `"`)}
	small := streams.Record{Event: []byte(`{}`)}
	huge := streams.Record{Event: []byte(`"` + strings.Repeat("x", streams.MaxPayload) + `"`)}
	for _, c := range []struct {
		records []streams.Record
		limit   int
		want    int
	}{
		{nil, 5, 0}, {[]streams.Record{small, small, small}, 2, 2}, {[]streams.Record{small}, 2, 1},
		{[]streams.Record{big, big}, 5, 2}, {[]streams.Record{big, big, small}, 5, 2}, {[]streams.Record{huge, small}, 5, 1},
	} {
		n := streams.Fits(c.records, c.limit)
		if n != c.want {
			t.Errorf("%d records, limit %d: %d, not %d", len(c.records), c.limit, n, c.want)
		}
		if body := streams.Payload(c.records[:n]); !json.Valid(body) || n > 1 && len(body) > streams.MaxPayload {
			t.Errorf("a payload of %d bytes", len(body))
		}
	}
}
