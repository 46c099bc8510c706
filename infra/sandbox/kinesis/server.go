package kinesis

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
)

// Target is the prefix of X-Amz-Target by which requests are recognised.
const Target = "Kinesis_20131202"

// Config of a server. The zero value works.
type Config struct {
	// Region and Account appear in ARNs; "" means us-east-1 and 000000000000.
	Region, Account string
	// Unlimited lifts the limits that are rates: a shard's 1 MiB/s and 1,000
	// records/s, and ten UpdateShardCount a day. The limits that are sizes
	// stay. For benchmarks.
	Unlimited bool
	// Transition is how long a stream stays CREATING, UPDATING or DELETING; 0
	// means 50 ms. Mind that the SDK's waiters look again only after ten
	// seconds unless given a shorter MinDelay.
	Transition time.Duration
	// MaxStreamBytes bounds the records a stream keeps, in bytes of data and
	// keys; 0 means 256 MiB. Beyond it the oldest are trimmed.
	MaxStreamBytes int64
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Fault is asked before every call; nil injects nothing. Partial fails
	// some records of PutRecords; Duplicate stores the records of PutRecord(s)
	// twice, one batch after the other; Late makes GetRecords come back empty
	// and leaves the records for a later call.
	Fault func(operation, resource string) fault.Fault
}

// Validate reports the first field that makes no sense.
func (c Config) Validate() error {
	switch {
	case c.Transition < 0:
		return fmt.Errorf("kinesis sandbox: Transition %s is negative", c.Transition)
	case c.MaxStreamBytes < 0 || c.MaxStreamBytes > 0 && c.MaxStreamBytes < maxCallBytes:
		return fmt.Errorf("kinesis sandbox: MaxStreamBytes %d is less than one PutRecords call can hold (%d)", c.MaxStreamBytes, maxCallBytes)
	}
	return nil
}

func (c Config) withDefaults() Config {
	c.Region = cmp.Or(c.Region, "us-east-1")
	c.Account = cmp.Or(c.Account, "000000000000")
	c.Transition = cmp.Or(c.Transition, 50*time.Millisecond)
	c.MaxStreamBytes = cmp.Or(c.MaxStreamBytes, 256<<20)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Server holds the streams of one account. It is an http.Handler, safe for
// concurrent use, owns no goroutine and needs no closing.
type Server struct {
	cfg     Config
	service awsjson.Service

	mu      sync.RWMutex // never taken while a stream is locked
	streams map[string]*stream
}

// New makes a server without streams. The error is Config.Validate's.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg.withDefaults(), streams: map[string]*stream{}}
	s.service = awsjson.Service{
		Target:     Target,
		Version:    "1.1",
		Operations: s.operations(),
		CBOR:       true,
		MaxBody:    24 << 20, // 10 MiB in base64, with 500 keys and hash keys
		Fault:      cfg.Fault,
		Throttled:  awsjson.Errorf("ProvisionedThroughputExceededException", "Rate exceeded, injected by the fault plan"),
	}
	return s, nil
}

// ServeHTTP implements http.Handler. The Host header is not looked at, so
// endpoints with an account id in their name are served too.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.service.ServeHTTP(w, r) }

func (s *Server) operations() map[string]awsjson.Operation {
	return map[string]awsjson.Operation{
		"CreateStream":             awsjson.Op(s.createStream),
		"DeleteStream":             awsjson.Op(s.deleteStream),
		"DescribeStream":           awsjson.Op(s.describeStream),
		"DescribeStreamSummary":    awsjson.Op(s.describeStreamSummary),
		"ListStreams":              awsjson.Op(s.listStreams),
		"ListShards":               awsjson.Op(s.listShards),
		"PutRecord":                awsjson.FaultyOp(s.putRecord),
		"PutRecords":               awsjson.FaultyOp(s.putRecords),
		"GetShardIterator":         awsjson.Op(s.getShardIterator),
		"GetRecords":               awsjson.FaultyOp(s.getRecords),
		"SplitShard":               awsjson.Op(s.splitShard),
		"MergeShards":              awsjson.Op(s.mergeShards),
		"UpdateShardCount":         awsjson.Op(s.updateShardCount),
		"EnableEnhancedMonitoring": awsjson.Op(s.enableMonitoring),
	}
}

// streamRef is how most requests name their stream: by name or by ARN.
type streamRef struct {
	StreamName string
	StreamARN  string
}

// Resource implements awsjson.Resourceful.
func (r streamRef) Resource() string { return r.name() }

func (r streamRef) name() string {
	if r.StreamName != "" {
		return r.StreamName
	}
	_, name, _ := strings.Cut(r.StreamARN, ":stream/")
	return name
}

func (s *Server) arn(name string) string {
	return fmt.Sprintf("arn:aws:kinesis:%s:%s:stream/%s", s.cfg.Region, s.cfg.Account, name)
}

// locked finds a stream, brings it up to date and returns it locked.
func (s *Server) locked(r streamRef) (*stream, error) {
	name := r.name()
	if name == "" {
		return nil, awsjson.Errorf("InvalidArgumentException", "StreamName or StreamARN must name a stream")
	}
	if r.StreamARN != "" && r.StreamARN != s.arn(name) {
		return nil, s.notFound(r.StreamARN)
	}
	s.mu.RLock()
	st := s.streams[name]
	s.mu.RUnlock()
	if st == nil {
		return nil, s.notFound(name)
	}
	st.mu.Lock()
	st.settle(s.cfg.Now())
	if st.status == statusGone {
		st.mu.Unlock()
		return nil, s.notFound(name)
	}
	return st, nil
}

// lockedForChange is locked for the operations that need an ACTIVE stream.
func (s *Server) lockedForChange(r streamRef) (*stream, error) {
	st, err := s.locked(r)
	if err != nil {
		return nil, err
	}
	if st.status != statusActive {
		defer st.mu.Unlock()
		return nil, awsjson.Errorf("ResourceInUseException", "Stream %s under account %s is %s, not ACTIVE: try again when it is.", st.name, s.cfg.Account, st.status)
	}
	return st, nil
}

// lockedForData is locked for reading and writing records.
func (s *Server) lockedForData(r streamRef) (*stream, error) {
	st, err := s.locked(r)
	if err != nil {
		return nil, err
	}
	if st.status != statusActive && st.status != statusUpdating {
		defer st.mu.Unlock()
		return nil, s.notFound(st.name)
	}
	return st, nil
}

func (s *Server) notFound(name string) error {
	return awsjson.Errorf("ResourceNotFoundException", "Stream %s under account %s not found.", name, s.cfg.Account)
}

// Stats counts what a server did; for tests and summaries.
type Stats struct {
	Streams, OpenShards int
	// Records and Bytes kept now.
	Records int
	Bytes   int64
	// Throttled records since the start, and records trimmed by the memory
	// bound before their retention had passed.
	Throttled, TrimmedEarly int64
}

// Stats returns the counts of all streams.
func (s *Server) Stats() Stats {
	var out Stats
	for _, st := range s.all() {
		out.Streams++
		out.OpenShards += len(st.open)
		out.Bytes += st.bytes
		out.Throttled += st.throttled
		out.TrimmedEarly += st.trimmedEarly
		for _, sh := range st.shards {
			out.Records += len(sh.records)
		}
		st.mu.Unlock()
	}
	return out
}

// all yields every stream, locked; the caller unlocks each.
func (s *Server) all() func(yield func(int, *stream) bool) {
	return func(yield func(int, *stream) bool) {
		for i, name := range s.names() {
			st, err := s.locked(streamRef{StreamName: name})
			if err != nil {
				continue // deleted in between
			}
			if !yield(i, st) {
				return
			}
		}
	}
}
