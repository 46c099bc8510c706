package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"net/http/httptest"

	"github.com/banyan-fig/banyan/consumers"
	readmodel "github.com/banyan-fig/banyan/consumers/social/timeline"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "0123456789abcdef0123456789abcdef"

// output is read while it is written.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// startTable gives the environment of a machine with a DynamoDB, and a table of
// timelines with one post by ada.
func startTable(t *testing.T) events.Position {
	t.Helper()
	server := httptest.NewServer(sandbox.New(sandbox.Config{}))
	t.Cleanup(server.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
		"AWS_ENDPOINT_URL_DYNAMODB": "", "TIMELINE_TABLE": "", "TIMELINE_LISTEN": "", "BANYAN_JWT_SECRET": secret,
	} {
		t.Setenv(name, value)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client := dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: aws.String(server.URL), HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")})
	if _, err := client.CreateTable(t.Context(), readmodel.TableInput("timelines")); err != nil {
		t.Fatal(err)
	}
	m, err := readmodel.New(readmodel.Config{Client: client, Table: "timelines"})
	if err != nil {
		t.Fatal(err)
	}
	at := events.Position{Sequence: "42"}
	e, err := events.New(t.Context(), "/test", social.PostPublished{PostID: "p1", AuthorID: "ada", Text: "hello", PublishedAt: time.Unix(1479718800, 0)})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Handle(t.Context(), consumers.Message{Event: e, Position: at}); err != nil {
		t.Fatal(err)
	}
	return at
}

func TestServesUntilItIsStopped(t *testing.T) {
	at := startTable(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var stdout, stderr output
	code := make(chan int, 1)
	go func() {
		code <- newCommand().Execute(ctx, []string{"--listen", "127.0.0.1:0", "--table", "timelines"}, &stdout, &stderr)
	}()
	address := await(t, &stderr)
	claims := jwt.RegisteredClaims{Subject: "ada", ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour))}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	for after, want := range map[string]string{
		"": `{"items":[{"postId":"p1","authorId":"ada","authorName":"","text":"hello",` +
			`"publishedAt":"2016-11-21T09:00:00Z"}],"nextCursor":""}`,
		at.String():                              `"postId":"p1"`,
		events.Position{Sequence: "43"}.String(): `/problems/read-model-behind`,
	} {
		if got := get(t, "http://"+address+"/v1/timelines/ada?limit=5", signed, after); !strings.Contains(got, want) {
			t.Errorf("after %q: %s", after, got)
		}
	}
	if got := get(t, "http://"+address+"/readyz", "", ""); !strings.Contains(got, "ready") {
		t.Errorf("readyz: %s", got)
	}
	var busy output
	c := newCommand().Execute(t.Context(), []string{"--listen", address, "--table", "timelines"}, io.Discard, &busy)
	if c != 1 || !sentence(busy.String(), "cannot listen on "+address) {
		t.Errorf("port in use: %d, %s", c, busy.String())
	}
	stop()
	select {
	case c := <-code:
		if c != 0 {
			t.Errorf("exit code %d: %s", c, stderr.String())
		}
	case <-time.After(time.Minute):
		t.Fatal("did not stop")
	}
}

var listening = regexp.MustCompile(`"address":"([^"]+)"`)

func await(t *testing.T, stderr *output) string {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if m := listening.FindStringSubmatch(stderr.String()); m != nil {
			return m[1]
		}
	}
	t.Fatalf("does not serve: %s", stderr.String())
	return ""
}

func get(t *testing.T, url, token, after string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	req.Header.Set("Authorization", "Bearer "+token)
	if after != "" {
		req.Header.Set(events.HeaderReadAfter, after)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// sentence tells whether s is one line with part in it.
func sentence(s, part string) bool {
	return strings.Contains(s, part) && strings.Count(strings.TrimSpace(s), "\n") == 0
}

func TestRefusals(t *testing.T) {
	startTable(t)
	for name, c := range map[string]struct {
		args []string
		env  map[string]string
		code int
		says string
	}{
		"missing table": {args: []string{"--table", "nowhere"}, code: 1, says: `there is no table "nowhere"`},
		"wrong endpoint": {
			args: []string{"--table", "timelines"}, env: map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
			code: 1, says: "DynamoDB does not respond",
		},
		"short secret": {
			args: []string{"--table", "timelines"}, env: map[string]string{"BANYAN_JWT_SECRET": "short"},
			code: 2, says: "BANYAN_JWT_SECRET: the token secret must have at least 32 bytes, not 5",
		},
		"no secret":          {args: []string{"--table", "timelines"}, env: map[string]string{"BANYAN_JWT_SECRET": ""}, code: 2, says: "BANYAN_JWT_SECRET"},
		"an argument":        {args: []string{"timelines"}, code: 2, says: "unexpected argument timelines"},
		"unknown flag":       {args: []string{"--loud"}, code: 2, says: "unknown flag --loud"},
		"not an address":     {args: []string{"--table", "timelines", "--listen", "nowhere"}, code: 1, says: "cannot listen on nowhere"},
		"help is no mistake": {args: []string{"--help"}, code: 0},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			var stderr output
			if code := newCommand().Execute(t.Context(), c.args, io.Discard, &stderr); code != c.code || c.says != "" && !sentence(stderr.String(), c.says) {
				t.Errorf("exit code %d: %s", code, stderr.String())
			}
		})
	}
}
