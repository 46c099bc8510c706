package ownership_test

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.uber.org/goleak"

	sandbox "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wire carries requests of the real SDK client to the sandbox without a socket,
// which testing/synctest cannot bring into its time, and lets them go wrong.
type wire struct {
	handler http.Handler
	// plan says how one request fares; nil is at once and well.
	plan func(operation string) fate
	// before and after let the process that sends stand still.
	stop func()
}

// fate is what happens to one request.
type fate struct {
	delay    time.Duration // before the effect; it happens even if the sender gave up
	throttle bool
	lose     bool // the answer, after the effect
}

func (w wire) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	_, operation, _ := strings.Cut(req.Header.Get("X-Amz-Target"), ".")
	var f fate
	if w.plan != nil {
		f = w.plan(operation)
	}
	w.pause()
	defer w.pause()
	if f.throttle {
		return throttled(req), nil
	}
	answered := make(chan *http.Response, 1)
	go func() {
		time.Sleep(f.delay)
		late := req.Clone(context.Background())
		late.Body = io.NopCloser(bytes.NewReader(body))
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, late)
		if !f.lose {
			answered <- rec.Result()
		}
	}()
	select {
	case res := <-answered:
		res.Request = req
		return res, nil
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
}

func (w wire) pause() {
	if w.stop != nil {
		w.stop()
	}
}

func throttled(req *http.Request) *http.Response {
	text := `{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"slow down"}`
	return &http.Response{
		StatusCode: http.StatusBadRequest, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, Body: io.NopCloser(strings.NewReader(text)),
	}
}

func clientOver(w wire) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		Region: "us-east-1", BaseEndpoint: aws.String("http://control.invalid"),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
		HTTPClient: &http.Client{Transport: w},
	})
}

// newServer is a sandbox with the control table in it.
func newServer(t *testing.T) *sandbox.Server {
	t.Helper()
	server := sandbox.New(sandbox.Config{})
	if err := tableOn(server).Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	return server
}

func tableOn(server http.Handler) *ownership.Table {
	return ownership.NewTable(clientOver(wire{handler: server}), "")
}

// process is a member's view of time, which can be stopped as a garbage collector,
// a hypervisor or SIGSTOP stops a process.
type process struct {
	mu      sync.Mutex
	running chan struct{} // closed while it runs
	woke    time.Time     // when it last came back
}

func newProcess() *process {
	p := &process{running: make(chan struct{})}
	close(p.running)
	return p
}

// stop makes every goroutine of the process wait at its next look at the clock or
// the wire; resume ends that.
func (p *process) stop() (resume func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = make(chan struct{})
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.woke = time.Now()
		close(p.running)
	}
}

func (p *process) wait() {
	p.mu.Lock()
	running := p.running
	p.mu.Unlock()
	<-running
}

// sleptAfter reports whether it stood still at some instant after t.
func (p *process) sleptAfter(t time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.woke.Before(t)
}

// Now may stop before and after the look at the clock.
func (p *process) Now() time.Time {
	p.wait()
	now := time.Now()
	p.wait()
	return now
}

func (p *process) After(d time.Duration) <-chan time.Time { return time.After(d) }

// seeded returns a source of chance that may be shared.
func seeded(seed uint64) func() *rand.Rand {
	var mu sync.Mutex
	root := rand.New(rand.NewPCG(seed, 1))
	return func() *rand.Rand {
		mu.Lock()
		defer mu.Unlock()
		return rand.New(rand.NewPCG(root.Uint64(), root.Uint64()))
	}
}
