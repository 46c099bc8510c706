package awssdk_test

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/awssdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRegionIsNeeded(t *testing.T) {
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
	if _, err := awssdk.Load(t.Context()); !errors.Is(err, awssdk.ErrNoRegion) {
		t.Errorf("without a region: %v", err)
	}
}

// TestConnectionsAreKept: large requests do not break their connections. With the
// SDK's own client several of them do, each of which needs a new connection.
func TestConnectionsAreKept(t *testing.T) {
	var opened atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		answer := `{"UnprocessedItems":{}}`
		w.Header().Set("X-Amz-Crc32", fmt.Sprint(crc32.ChecksumIEEE([]byte(answer))))
		_, _ = io.WriteString(w, answer)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	for name, value := range map[string]string{"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": server.URL, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"} {
		t.Setenv(name, value)
	}
	cfg, err := awssdk.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	client := dynamodb.NewFromConfig(cfg)
	item := map[string]types.AttributeValue{"text": &types.AttributeValueMemberS{Value: strings.Repeat("x", 100<<10)}}
	write := types.WriteRequest{PutRequest: &types.PutRequest{Item: item}}
	for i := range 100 {
		_, err := client.BatchWriteItem(t.Context(),
			&dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{"things": {write, write, write}}})
		if err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("one call after the other needed %d connections", n)
	}
}
