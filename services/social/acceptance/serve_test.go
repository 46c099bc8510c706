package acceptance_test

import (
	"net/http/httptest"
	"testing"

	"github.com/banyan-fig/banyan/services/social/acceptance"
)

// serve is the URL of a gateway to the target.
func serve(t *testing.T, target acceptance.Target) string {
	t.Helper()
	count := make(chan int, 1)
	count <- 1
	server := httptest.NewServer(gateway{target, count})
	t.Cleanup(server.Close)
	return server.URL
}
