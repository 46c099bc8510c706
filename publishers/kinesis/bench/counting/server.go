package counting

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// maxBody is more than any PutRecords can be: 10 MiB as base64 with its names.
const maxBody = 16 << 20

// Stream is one stream that a [Server] has.
type Stream struct {
	Name string
	// Shards is how many open shards share the hash keys evenly, at least 1.
	Shards int
	// ThrottleFirst refuses the records of the first shard for every second
	// period of this length; 0 never does.
	ThrottleFirst time.Duration
	// Check opens each record, and counts the events in it and those of them that
	// belong to another shard than the record.
	Check bool
}

// Counts are what a stream was sent since the start.
type Counts struct {
	Requests  int64 // PutRecords
	Records   int64 // kept
	Refused   int64 // refused by the throttled shard
	Bytes     int64 // of the requests' bodies
	Events    int64 // in the records that were kept; only where the stream checks
	Misplaced int64 // of these, in a shard that their key does not belong to
}

// Server answers for its streams. Safe for concurrent use.
type Server struct{ streams map[string]*stream }

// NewServer has these streams, all of them there from the start.
func NewServer(streams ...Stream) *Server {
	s := &Server{streams: make(map[string]*stream, len(streams))}
	for _, cfg := range streams {
		s.streams[cfg.Name] = newStream(cfg)
	}
	return s
}

// Counts of a stream, zeros for one that does not exist.
func (s *Server) Counts(name string) Counts {
	if st := s.streams[name]; st != nil {
		return st.snapshot()
	}
	return Counts{}
}

var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// ServeHTTP answers the two calls, and GET /counts/NAME with the [Counts] of a
// stream as JSON.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if name, ok := strings.CutPrefix(r.URL.Path, "/counts/"); ok {
		_ = json.NewEncoder(w).Encode(s.Counts(name))
		return
	}
	body := bodies.Get().(*bytes.Buffer)
	defer bodies.Put(body)
	body.Reset()
	if _, err := body.ReadFrom(io.LimitReader(r.Body, maxBody)); err != nil {
		return // the client went away
	}
	media, target := r.Header.Get("Content-Type"), r.Header.Get("X-Amz-Target")
	answer, err := s.serve(body.Bytes(), target, media)
	if err != nil {
		w.Header().Set("Content-Type", mediaJSON)
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": "ValidationException", "message": target + ": " + err.Error()})
		return
	}
	w.Header().Set("Content-Type", media)
	_, _ = w.Write(answer)
}

func (s *Server) serve(body []byte, target, media string) ([]byte, error) {
	codec, err := codecOf(media)
	if err != nil {
		return nil, err
	}
	var req request
	if err := codec.unmarshal(body, &req); err != nil {
		return nil, fmt.Errorf("malformed body in %s: %w", media, err)
	}
	st := s.streams[req.StreamName]
	if st == nil {
		return nil, fmt.Errorf("no stream %q", req.StreamName)
	}
	_, name, _ := strings.Cut(target, ".")
	switch {
	case name == "PutRecords":
		answer, err := st.put(&req, len(body))
		if err != nil {
			return nil, err
		}
		return codec.marshal(answer)
	case name == "ListShards" && media == mediaJSON:
		return st.listing, nil
	}
	return nil, fmt.Errorf("unsupported call in %s", media)
}
