package mongodb_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/mongodbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, cfg mongodb.Config) *mongodb.Server {
	t.Helper()
	s, err := mongodb.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return s
}

func TestSandboxConforms(t *testing.T) {
	mongodbtest.Run(t, start(t, mongodb.Config{}).URI())
}

// TestPeerConforms runs the same suite against somebody else's server; see
// infra/sandbox/conformance.
func TestPeerConforms(t *testing.T) {
	uri := os.Getenv("BANYAN_CONFORMANCE_MONGODB")
	if uri == "" {
		t.Skip("BANYAN_CONFORMANCE_MONGODB names no server")
	}
	mongodbtest.Run(t, uri)
}
