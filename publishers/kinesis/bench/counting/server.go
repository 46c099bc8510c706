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

// The media types of the service's two protocols.
const (
	mediaJSON = "application/x-amz-json-1.1"
	mediaCBOR = "application/x-amz-cbor-1.1"
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
	// Check opens each record, counts the events in it and tells which of them
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
type Server struct {
	streams map[string]*stream
	bodies  sync.Pool // of *call
}

// NewServer has these streams, all of them there from the start.
func NewServer(streams ...Stream) *Server {
	s := &Server{streams: make(map[string]*stream, len(streams))}
	for _, cfg := range streams {
		s.streams[cfg.Name] = newStream(cfg)
	}
	s.bodies.New = func() any { return new(call) }
	return s
}

// Counts of a stream, zeros for one that there is not.
func (s *Server) Counts(name string) Counts {
	if st := s.streams[name]; st != nil {
		return st.snapshot()
	}
	return Counts{}
}

// call is the memory of one request, used again by later ones.
type call struct {
	body   bytes.Buffer
	req    request
	answer []byte
}

// ServeHTTP answers the two calls, and GET /counts/NAME with the [Counts] of a
// stream as JSON.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if name, ok := strings.CutPrefix(r.URL.Path, "/counts/"); ok {
		_ = json.NewEncoder(w).Encode(s.Counts(name))
		return
	}
	c := s.bodies.Get().(*call)
	defer s.bodies.Put(c)
	c.body.Reset()
	if _, err := c.body.ReadFrom(io.LimitReader(r.Body, maxBody)); err != nil {
		return // the client went away
	}
	media := r.Header.Get("Content-Type")
	w.Header().Set("Content-Type", media)
	if err := s.serve(c, r.Header.Get("X-Amz-Target"), media); err != nil {
		w.Header().Set("Content-Type", mediaJSON)
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": "ValidationException", "message": err.Error()})
		return
	}
	_, _ = w.Write(c.answer)
}

func (s *Server) serve(c *call, target, media string) error {
	if err := c.req.parse(media, c.body.Bytes()); err != nil {
		return fmt.Errorf("%s: %w", target, err)
	}
	st := s.streams[string(c.req.stream)]
	if st == nil {
		return fmt.Errorf("%s: there is no stream %q", target, c.req.stream)
	}
	_, name, _ := strings.Cut(target, ".")
	switch {
	case name == "PutRecords":
		var err error
		c.answer, err = st.put(c.answer[:0], &c.req, c.body.Len(), media == mediaCBOR)
		return err
	case name == "ListShards" && media == mediaJSON:
		c.answer = append(c.answer[:0], st.listing...)
		return nil
	}
	return fmt.Errorf("%s in %s is not among what is counted", target, media)
}
