package observation

import (
	"bufio"
	"encoding/json"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Log is an access log: a line of JSON for each exchange that somebody has to mend something
// about, and for a share of the others. Lines are written by one goroutine; one that finds
// the queue full is dropped and counted, since a slow disk must not slow clients down.
//
// No line has a query, a header or a body, and segments of paths that look like a secret are
// cut. Paths, subjects and what errors quote can name people nevertheless.
type Log struct {
	share   uint64 // of the trace ids
	queue   chan line
	stop    chan struct{}
	once    sync.Once
	done    chan struct{}
	dropped atomic.Int64
}

// maxQueue bounds the lines that wait to be written.
const maxQueue = 4096

// NewLog makes a log that writes to w. share of the exchanges that ended well, from 0 to 1,
// are logged: those of a request together, and those with the same traces on every proxy.
// Close it.
func NewLog(w io.Writer, share float64) *Log {
	l := &Log{queue: make(chan line, maxQueue), stop: make(chan struct{}), done: make(chan struct{})}
	switch {
	case share >= 1:
		l.share = math.MaxUint64
	case share > 0:
		l.share = uint64(share * (1 << 63) * 2)
	}
	go l.write(w)
	return l
}

// Dropped is how many lines were not written.
func (l *Log) Dropped() int64 { return l.dropped.Load() }

// Close writes what is queued. Exchanges that are observed later may be dropped.
func (l *Log) Close() {
	l.once.Do(func() { close(l.stop) })
	<-l.done
}

// line is an exchange in the log.
type line struct {
	Time        time.Time `json:"time"` // when it ended
	Route       string    `json:"route,omitempty"`
	Side        string    `json:"side"`
	Upstream    string    `json:"upstream"`
	Why         string    `json:"why,omitempty"`
	Method      string    `json:"method"`
	Host        string    `json:"host"`
	Path        string    `json:"path"`
	Status      int       `json:"status,omitempty"` // of the side's answer
	Sent        int       `json:"sent,omitempty"`   // what the client was given
	FellBack    bool      `json:"fellBack,omitempty"`
	Cause       string    `json:"cause,omitempty"`
	Fault       string    `json:"fault,omitempty"`
	Error       string    `json:"error,omitempty"`
	FirstByte   float64   `json:"firstByteMs,omitempty"`
	Total       float64   `json:"totalMs"`
	BytesIn     int64     `json:"bytesIn"`
	BytesOut    int64     `json:"bytesOut"`
	Client      string    `json:"client,omitempty"`
	Subject     string    `json:"subject,omitempty"`
	Table       string    `json:"table,omitempty"`
	Correlation string    `json:"correlation,omitempty"`
	Traceparent string    `json:"traceparent,omitempty"`
}

// Observe implements Sink.
func (l *Log) Observe(o *Observation) {
	if o.Cause.Fault() == Nobody && !l.sampled(o.IDs.TraceParent) {
		return
	}
	n := line{
		Time: o.Start.Add(o.Total), Route: o.Route, Side: o.Side.String(), Upstream: o.Upstream, Why: o.Why, Method: o.Method, Host: o.Host, Path: o.Path,
		Status: o.Status, Sent: o.Sent, FellBack: o.FellBack, Cause: o.Cause.String(), FirstByte: millis(o.FirstByte), Total: millis(o.Total), BytesIn: o.BytesIn,
		BytesOut: o.BytesOut, Client: o.Client, Subject: o.Subject, Table: o.Table, Correlation: o.IDs.CorrelationID, Traceparent: o.IDs.TraceParent,
	}
	if o.Cause != None {
		n.Fault = o.Cause.Fault().String()
	}
	if o.Err != nil {
		n.Error = shown(o.Err)
	}
	select {
	case l.queue <- n:
	default:
		l.dropped.Add(1)
	}
}

func millis(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}

// sampled decides by the random half of the trace id, as OpenTelemetry does, so that all that
// log a share of the same traces log the same ones. One without a trace is not logged, unless
// all are.
func (l *Log) sampled(traceParent string) bool {
	if l.share == math.MaxUint64 {
		return true
	}
	if len(traceParent) < 35 {
		return false
	}
	random, err := strconv.ParseUint(traceParent[19:35], 16, 64)
	return err == nil && random < l.share
}

// write writes lines until Close, and passes on what it has whenever none is waiting.
func (l *Log) write(w io.Writer) {
	defer close(l.done)
	out := bufio.NewWriterSize(w, 64<<10)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	var pending int64 // lines that w has not taken yet
	for stopped := false; !stopped || len(l.queue) > 0; {
		select {
		case n := <-l.queue:
			n.Path = withoutSecrets(n.Path)
			pending++
			_ = encoder.Encode(n) // what w refuses, Flush says again
			if len(l.queue) > 0 && out.Available() > maxLine {
				continue
			}
		case <-l.stop:
			stopped = true
		}
		if out.Flush() != nil {
			l.dropped.Add(pending)
			out.Reset(w) // or it would refuse all that follows
		}
		pending = 0
	}
}

// maxLine is what most lines have; a longer one is written at once.
const maxLine = 4 << 10

// maxError bounds the text of an error.
const maxError = 300

var (
	query = regexp.MustCompile(`\?[^\s"']+`)
	uuid  = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
)

// shown is an error's text, bounded, without what may be the query of a URL.
func shown(err error) string {
	text := query.ReplaceAllLiteralString(err.Error(), "?…")
	return strings.ToValidUTF8(text[:min(len(text), maxError)], "")
}

// withoutSecrets cuts the segments of a path that may be a token: long ones with digits, but
// for UUIDs.
func withoutSecrets(path string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if len(s) > 24 && strings.ContainsAny(s, "0123456789") && !uuid.MatchString(s) {
			segments[i] = "…"
		}
	}
	return strings.Join(segments, "/")
}
