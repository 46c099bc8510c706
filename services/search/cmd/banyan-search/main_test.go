package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/infra/eventually"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
)

// TestMain lets bleve have its workers, which it starts when it is linked.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/blevesearch/bleve_index_api.AnalysisWorker"))
}

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

// startTable gives the environment of a machine with a DynamoDB, and a table of books.
func startTable(t *testing.T) *dynamodb.Client {
	t.Helper()
	server := httptest.NewServer(sandbox.New(sandbox.Config{}))
	t.Cleanup(server.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
		"AWS_ENDPOINT_URL_DYNAMODB": "", "BANYAN_JWT_SECRET": "", "OPENSEARCH_URL": "", "OPENSEARCH_AUTH": "none",
		"SEARCH_TABLE": "books", "SEARCH_TEXT": "title,author", "SEARCH_RANK": "sales", "SEARCH_SHOW": "title",
	} {
		t.Setenv(name, value)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client := dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: aws.String(server.URL), HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")})
	in := dynamo.CompositeTable("books")
	in.StreamSpecification = &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewAndOldImages}
	if _, err := client.CreateTable(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	put(t, client, "1", "Middlemarch", 10)
	return client
}

func put(t *testing.T, client *dynamodb.Client, key, title string, sales int64) {
	t.Helper()
	item := dynamo.Key(key, "book")
	item["title"], item["author"], item["sales"], item["rev"] = dynamo.String(title), dynamo.String("George Eliot"), dynamo.Int(sales), dynamo.Int(1)
	if _, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("books"), Item: item}); err != nil {
		t.Fatal(err)
	}
}

var listening = regexp.MustCompile(`"address":"([^"]+)"`)

// TestServesItsOwnIndex finds what the table had at the start, and what it got since.
func TestServesItsOwnIndex(t *testing.T) {
	client := startTable(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var stderr output
	code := make(chan int, 1)
	args := []string{"serve", "--listen", "127.0.0.1:0", "--dir", t.TempDir(), "--public"}
	go func() { code <- newCommand().Execute(ctx, args, io.Discard, &stderr) }()
	var address string
	eventually.True(t, "the server listens", func() bool {
		m := listening.FindStringSubmatch(stderr.String())
		if m != nil {
			address = m[1]
		}
		return m != nil
	})
	finds := func(want string) {
		t.Helper()
		eventually.True(t, "it finds "+want, func() bool { return strings.Contains(get(t, "http://"+address+"/v1/search?q=eliott"), want) })
	}
	finds(`{"items":[{"key":"1","rank":10,"data":{"title":"Middlemarch"}}],"nextCursor":""}`)
	put(t, client, "2", "Silas Marner", 20)
	finds(`{"items":[{"key":"2","rank":20,"data":{"title":"Silas Marner"}},{"key":"1"`)
	stop()
	if c := <-code; c != 0 {
		t.Errorf("exit code %d: %s", c, stderr.String())
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Close = true
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestRefusals(t *testing.T) {
	client := startTable(t)
	if _, err := client.CreateTable(t.Context(), dynamo.CompositeTable("plain")); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"nowhere to search": {[]string{"serve", "--public"}, 2, "name a directory for an index with --dir"},
		"no token secret":   {[]string{"serve", "--dir", dir}, 2, "BANYAN_JWT_SECRET"},
		"missing table":     {[]string{"serve", "--public", "--dir", dir, "--table", "nowhere"}, 1, `there is no table "nowhere"`},
		"no stream":         {[]string{"serve", "--public", "--dir", dir, "--table", "plain"}, 1, "it has no stream with NEW_AND_OLD_IMAGES"},
		"no OpenSearch":     {[]string{"rebuild"}, 2, "OPENSEARCH_URL must be"},
	} {
		t.Run(name, func(t *testing.T) {
			var stderr output
			if code := newCommand().Execute(t.Context(), c.args, io.Discard, &stderr); code != c.code || !strings.Contains(stderr.String(), c.says) {
				t.Errorf("exit code %d: %s", code, stderr.String())
			}
		})
	}
}
