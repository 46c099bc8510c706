package putrecords_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/banyan-fig/banyan/publishers/kinesis/internal/putrecords"
)

// earlyServer answers each request, or not, when it has read its header and a
// little of its body, and reads the rest afterwards, slowly. Whatever comes must
// be from one request: all data of a request is one letter.
type earlyServer struct {
	listener net.Listener
	answer   string
	early    chan struct{} // a signal for each request that is in the middle
	running  sync.WaitGroup
	mixed    atomic.Int64 // requests with data of others
	cut      atomic.Int64 // requests whose body did not come whole
}

func newEarlyServer(t *testing.T, answer string) *earlyServer {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &earlyServer{listener: l, answer: answer, early: make(chan struct{}, 1000)}
	s.running.Go(s.serve)
	t.Cleanup(func() {
		_ = l.Close()
		s.running.Wait()
	})
	return s
}

func (s *earlyServer) serve() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.running.Go(func() {
			defer conn.Close()
			s.converse(conn.(*net.TCPConn))
		})
	}
}

func (s *earlyServer) converse(conn *net.TCPConn) {
	_ = conn.SetReadBuffer(64 << 10) // so that the client cannot write all at once
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	r, err := http.ReadRequest(bufio.NewReaderSize(conn, 64<<10))
	if err != nil {
		return
	}
	letters := make(map[byte]bool)
	part := make([]byte, 64<<10)
	if _, err := io.ReadFull(r.Body, part); err != nil {
		return
	}
	collect(letters, part)
	_, _ = io.WriteString(conn, s.answer)
	s.early <- struct{}{}
	time.Sleep(2 * time.Millisecond) // the caller uses the memory again
	for err == nil {
		var n int
		n, err = r.Body.Read(part)
		collect(letters, part[:n])
	}
	if !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		s.cut.Add(1)
	}
	if len(letters) > 1 {
		s.mixed.Add(1)
	}
}

// collect looks for runs of the letters that the data consists of.
func collect(letters map[byte]bool, part []byte) {
	for c := byte('0'); c <= '9'; c++ {
		if bytes.Contains(part, bytes.Repeat([]byte{c}, 40)) {
			letters[c] = true
		}
	}
}

// refill makes a request of as many bytes as there can be, all the same.
func refill(r *putrecords.Request, data map[byte][]byte, i int) {
	letter := byte('0' + i%10)
	if data[letter] == nil {
		data[letter] = bytes.Repeat([]byte{letter}, 1<<20)
	}
	r.Reset(stream)
	for range 9 {
		r.Add("k", "", data[letter])
	}
}

const tooLarge = "HTTP/1.1 413 Too Large\r\nX-Amzn-RequestId: early\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: 2\r\n\r\n{}"

// TestAnEarlyAnswerDoesNotMixRequests: the transport still writes the body when
// Send returns, and the memory is used for the next request at once. With -race
// this finds any reading that is not over.
func TestAnEarlyAnswerDoesNotMixRequests(t *testing.T) {
	s := newEarlyServer(t, tooLarge)
	client := newClient(t, "http://"+s.listener.Addr().String())
	r := putrecords.Request{Encoding: putrecords.CBOR} // where the bytes are themselves
	data := make(map[byte][]byte)
	for i := 0; i < 10 || s.cut.Load() == 0 && i < 1000; i++ {
		refill(&r, data, i)
		if _, err := r.Send(t.Context(), client); err == nil || !strings.Contains(err.Error(), "413") && !isBroken(err) {
			t.Fatal(err)
		}
	}
	s.check(t)
}

// isBroken is for a connection that ended while the body was written.
func isBroken(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) || errors.Is(err, io.EOF) || strings.Contains(err.Error(), "broken connection")
}

func (s *earlyServer) check(t *testing.T) {
	t.Helper()
	_ = s.listener.Close()
	s.running.Wait()
	if n := s.mixed.Load(); n > 0 {
		t.Errorf("%d requests had bytes of another", n)
	}
	if s.cut.Load() == 0 {
		t.Error("no body was being written when its request was over: nothing was tested")
	}
}

// TestGivingUpDoesNotMixRequests: there is no answer, and the call is cancelled
// while the server reads.
func TestGivingUpDoesNotMixRequests(t *testing.T) {
	s := newEarlyServer(t, "")
	client := newClient(t, "http://"+s.listener.Addr().String())
	r := putrecords.Request{Encoding: putrecords.CBOR}
	data := make(map[byte][]byte)
	for i := 0; i < 10 || s.cut.Load() == 0 && i < 1000; i++ {
		refill(&r, data, i)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			defer cancel()
			<-s.early
		}()
		if _, err := r.Send(ctx, client); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	s.check(t)
}

// TestAKeptBodyReadsNothing: a middleware that holds on to the stream gets
// an error once the request is over, and never another one's bytes.
func TestAKeptBodyReadsNothing(t *testing.T) {
	_, url := record(t, success)
	var readers sync.WaitGroup
	var read atomic.Int64
	var over chan struct{} // closed after the request
	keep := func(stack *middleware.Stack) error {
		return stack.Finalize.Add(middleware.FinalizeMiddlewareFunc("Keep", func(
			ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
		) (middleware.FinalizeOutput, middleware.Metadata, error) {
			kept := in.Request.(*smithyhttp.Request).GetStream()
			out, metadata, err := next.HandleFinalize(ctx, in)
			ended := over
			readers.Go(func() {
				<-ended
				_, _ = kept.(io.Seeker).Seek(0, io.SeekStart)
				n, _ := kept.Read(make([]byte, 100))
				read.Add(int64(n))
			})
			return out, metadata, err
		}), middleware.After)
	}
	client := newClient(t, url, awskinesis.WithAPIOptions(keep))
	var r putrecords.Request
	for range 50 {
		r.Reset(stream)
		r.Add("k", "", bytes.Repeat([]byte{'x'}, 50_000))
		over = make(chan struct{})
		if _, err := r.Send(t.Context(), client); err != nil {
			t.Fatal(err)
		}
		close(over)
	}
	readers.Wait()
	if n := read.Load(); n > 0 {
		t.Errorf("%d bytes were read of requests that were over", n)
	}
}

// TestConnectionsAreKept: a server that answers as soon as it has the body finds
// the client still at the end of writing it. That must not break the connection,
// as it does with the SDK's own bodies (see body.go).
func TestConnectionsAreKept(t *testing.T) {
	var connections atomic.Int64
	answer := `{"Records":[` + strings.Repeat(`{"SequenceNumber":"1","ShardId":"s"},`, 999) + `{}]}`
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, answer)
	}))
	front.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	front.Start()
	t.Cleanup(front.Close)
	client := newClient(t, front.URL)
	var r putrecords.Request
	r.Reset(stream)
	for i := range 1000 {
		r.Add("k", "", fmt.Append(nil, i))
	}
	for range 100 {
		if _, err := r.Send(t.Context(), client); err != nil {
			t.Fatal(err)
		}
	}
	if n := connections.Load(); n > 3 { // the transport itself gives one up where its write loop is not scheduled for 50 ms
		t.Errorf("%d connections for requests one after the other", n)
	}
}

// TestOverHTTP2: another transport, which reads bodies in its own way.
func TestOverHTTP2(t *testing.T) {
	rec := &recorder{answer: success}
	front := httptest.NewUnstartedServer(rec)
	front.EnableHTTP2 = true
	front.StartTLS()
	t.Cleanup(front.Close)
	client := newClient(t, front.URL, func(o *awskinesis.Options) { o.HTTPClient = front.Client() })
	r := putrecords.Request{Encoding: putrecords.CBOR}
	data := make(map[byte][]byte)
	for i := range 3 {
		refill(&r, data, i)
		if answers, err := r.Send(t.Context(), client); err != nil || len(answers) != r.Len() {
			t.Fatal(len(answers), err)
		}
		got := rec.last(t)
		if got.ProtoMajor != 2 || len(got.body) < r.Size() {
			t.Errorf("%s with %d bytes", got.Proto, len(got.body))
		}
		checkSignature(t, got)
	}
}

// TestSendersSideBySide: requests share memory, one after the other.
func TestSendersSideBySide(t *testing.T) {
	rec, url := record(t, success)
	client := newClient(t, url)
	var senders sync.WaitGroup
	for sender := range 8 {
		senders.Go(func() {
			r := putrecords.Request{Encoding: putrecords.Encoding(sender % 2)}
			for i := range 20 {
				r.Reset(fmt.Sprint(stream, sender))
				for range 1 + i {
					r.Add("k", "", bytes.Repeat([]byte{byte('0' + sender)}, 3000))
				}
				if answers, err := r.Send(t.Context(), client); err != nil || len(answers) != 1+i {
					t.Errorf("%d answers, %v", len(answers), err)
				}
			}
		})
	}
	senders.Wait()
	for _, got := range rec.seen {
		checkSignature(t, got)
		letters := make(map[byte]bool)
		collect(letters, got.body)
		if got.Header.Get("Content-Type") == cborType && len(letters) != 1 {
			t.Errorf("letters %v in one request", letters)
		}
	}
}
