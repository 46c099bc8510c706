package dynamodb

import (
	"cmp"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// maxBody is the largest request that is read: BatchWriteItem's 16 MB of items, and the JSON
// around them.
const maxBody = 40 << 20

// Config sets up a Server. The zero value works.
type Config struct {
	// Region and Account appear in ARNs. Default: us-east-1 and 000000000000.
	Region, Account string
	// Now is the clock for creation times, time to live and stream records. Default: time.Now.
	Now func() time.Time
	// Fault is asked before every operation what shall go wrong with it; table is its (first)
	// table, or "" for operations without one. It is called from many goroutines. Default: nothing
	// goes wrong.
	Fault func(op, table string) Fault
	// StreamRecords is how many records each stream keeps; older ones are trimmed. The service
	// keeps 24 hours instead. Default: 200,000.
	StreamRecords int
	// Tables is how many tables there may be. Default: 2,500, the service's quota.
	Tables int
}

func (c Config) withDefaults() Config {
	c.Region = cmp.Or(c.Region, "us-east-1")
	c.Account = cmp.Or(c.Account, "000000000000")
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.StreamRecords <= 0 {
		c.StreamRecords = 200_000
	}
	if c.Tables <= 0 {
		c.Tables = 2500
	}
	return c
}

// Server is the stand-in: an http.Handler for both of the service's targets. It holds its tables
// in memory, starts no goroutine of its own and is safe for concurrent use.
type Server struct {
	cfg    Config
	tokens *tokenCache

	mu      sync.RWMutex // taken after a table's own, never before it
	tables  map[string]*table
	streams []*stream // oldest first
}

// New makes an empty stand-in.
func New(cfg Config) *Server {
	cfg = cfg.withDefaults()
	return &Server{
		cfg:    cfg,
		tokens: newTokenCache(cfg.Now),
		tables: map[string]*table{},
	}
}

// Targets are the X-Amz-Target prefixes that ServeHTTP answers.
var Targets = []string{"DynamoDB_20120810.", "DynamoDBStreams_20120810."}

var readers = sync.Pool{New: func() any { return &reader{} }}

// scratch are the two buffers of a request: its body and the answer.
type scratch struct{ in, out []byte }

var buffers = sync.Pool{New: func() any { return &scratch{} }}

const keepBuffer = 1 << 20

// ServeHTTP answers one request of the JSON 1.0 protocol. With a timeout fault it panics with
// http.ErrAbortHandler, which makes net/http close the connection.
func (s *Server) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	_, operation, _ := strings.Cut(req.Header.Get("X-Amz-Target"), ".")
	b := buffers.Get().(*scratch)
	defer func() {
		if cap(b.in)+cap(b.out) <= keepBuffer {
			buffers.Put(b)
		}
	}()
	var err error
	if b.in, err = readBody(req, b.in[:0]); err != nil {
		b.out = respond(w, b.out[:0], unreadable(err))
		return
	}
	if err = s.checkSignature(req.Header.Get("X-Amz-Date")); err != nil {
		b.out = respond(w, b.out[:0], err)
		return
	}
	out, err := s.serve(operation, b.in, b.out[:0])
	if out != nil {
		b.out = out
	}
	b.out = respond(w, b.out, err)
}

const signatureDate, signatureLife = "20060102T150405Z", 15 * time.Minute

// checkSignature refuses a request that was signed too long ago.
func (s *Server) checkSignature(date string) error {
	now := s.cfg.Now().UTC()
	if at, err := time.Parse(signatureDate, date); err == nil && now.Sub(at) > signatureLife {
		return fail("InvalidSignatureException", "Signature expired: %s is now earlier than %s (%s - 15 min.)", date,
			now.Add(-signatureLife).Format(signatureDate), now.Format(signatureDate))
	}
	return nil
}

func readBody(req *http.Request, into []byte) ([]byte, error) {
	if req.ContentLength > maxBody {
		return into, &http.MaxBytesError{Limit: maxBody}
	}
	if n := int(req.ContentLength); n > cap(into) {
		into = make([]byte, 0, n+1)
	}
	body := http.MaxBytesReader(nil, req.Body, maxBody)
	for {
		if len(into) == cap(into) {
			into = append(into, 0)[:len(into)]
		}
		n, err := body.Read(into[len(into):cap(into)])
		into = into[:len(into)+n]
		if err == io.EOF {
			return into, nil
		}
		if err != nil {
			return into, err
		}
	}
}

// respond writes the answer, or the error in its place, and returns the buffer for reuse.
func respond(w http.ResponseWriter, out []byte, err error) []byte {
	status := http.StatusOK
	if err != nil {
		api := asAPIError(err)
		status, out = api.httpStatus(), api.appendJSON(out[:0])
	}
	h := w.Header()
	h.Set("Content-Type", "application/x-amz-json-1.0")
	h.Set("Content-Length", strconv.Itoa(len(out)))
	h.Set("X-Amzn-Requestid", uuid.NewString())
	h.Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(out)), 10))
	w.WriteHeader(status)
	_, _ = w.Write(out) // the client is gone; nothing is left to tell it
	return out
}

// itemOperations are the operations on items; they append their answer to out.
var itemOperations = map[string]func(s *Server, r *request, out []byte) ([]byte, error){
	"PutItem":            (*Server).putItem,
	"GetItem":            (*Server).getItem,
	"UpdateItem":         (*Server).updateItem,
	"DeleteItem":         (*Server).deleteItem,
	"Query":              (*Server).query,
	"Scan":               (*Server).scan,
	"BatchGetItem":       (*Server).batchGetItem,
	"BatchWriteItem":     (*Server).batchWriteItem,
	"TransactWriteItems": (*Server).transactWriteItems,
}

func (s *Server) serve(operation string, body, out []byte) ([]byte, error) {
	if op, ok := itemOperations[operation]; ok {
		rd := readers.Get().(*reader)
		r, err := rd.read(operation, body)
		readers.Put(rd)
		if err != nil {
			return out, err
		}
		return s.withFault(operation, r.firstTable(), r, func() ([]byte, error) { return op(s, r, out) })
	}
	if op, ok := controlOperations[operation]; ok {
		return s.withFault(operation, tableOf(body), nil, func() ([]byte, error) { return op(s, body, out) })
	}
	return out, notImplemented(operation)
}

// withFault runs an operation, or lets it go wrong as the hook wants.
func (s *Server) withFault(operation, table string, r *request, run func() ([]byte, error)) ([]byte, error) {
	if s.cfg.Fault == nil {
		return run()
	}
	fault := s.cfg.Fault(operation, table)
	if err := fault.refusal(r); err != nil {
		return nil, err
	}
	switch {
	case fault == FaultTimeoutBefore:
		panic(http.ErrAbortHandler)
	case fault == FaultPartial && r != nil:
		r.partial = true
	}
	out, err := run()
	if fault == FaultTimeoutAfter {
		panic(http.ErrAbortHandler)
	}
	return out, err
}
