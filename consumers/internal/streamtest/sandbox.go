package streamtest

import (
	"net/http/httptest"
	"testing"

	sandbox "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
)

// startSandbox serves DynamoDB on a loopback port until the test ends.
func startSandbox(t testing.TB) string {
	server := httptest.NewServer(sandbox.New(sandbox.Config{}))
	t.Cleanup(server.Close)
	return server.URL
}
