package putrecords_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const stream = "events"

// newClient makes the SDK's client of a server, which retries nothing.
func newClient(t testing.TB, url string, options ...func(*awskinesis.Options)) *awskinesis.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 4}
	t.Cleanup(transport.CloseIdleConnections)
	return awskinesis.New(awskinesis.Options{
		BaseEndpoint: aws.String(url),
		Region:       "eu-west-1",
		HTTPClient:   &http.Client{Transport: transport},
		Retryer:      aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret", SessionToken: "token"}, nil
		}),
	}, options...)
}

// received is a request as a server saw it.
type received struct {
	*http.Request
	body []byte
}

// recorder keeps the requests and lets a function answer.
type recorder struct {
	mu     sync.Mutex
	seen   []received
	answer func(received, http.ResponseWriter)
}

func record(t testing.TB, answer func(received, http.ResponseWriter)) (*recorder, string) {
	rec := &recorder{answer: answer}
	front := httptest.NewServer(rec)
	t.Cleanup(front.Close)
	return rec, front.URL
}

func (rec *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client went away
	}
	got := received{r, body}
	rec.mu.Lock()
	rec.seen = append(rec.seen, got)
	rec.mu.Unlock()
	rec.answer(got, w)
}

func (rec *recorder) last(t testing.TB) received {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if len(rec.seen) == 0 {
		t.Fatal("the server was not asked")
	}
	return rec.seen[len(rec.seen)-1]
}

func (rec *recorder) count() int {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return len(rec.seen)
}

func reply(status int, contentType, body string) func(received, http.ResponseWriter) {
	return func(_ received, w http.ResponseWriter) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("X-Amzn-RequestId", "request-1")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// filler makes data that no two records share.
func filler(n, seed int) []byte {
	return bytes.Repeat([]byte{byte(seed), byte(seed >> 8), 0xff, 'x', 0}, n/5+1)[:n]
}
