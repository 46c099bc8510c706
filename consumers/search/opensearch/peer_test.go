package opensearch_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/consumers/search"
	"github.com/banyan-fig/banyan/consumers/search/opensearch"
	"github.com/banyan-fig/banyan/consumers/search/searchtest"
	client "github.com/banyan-fig/banyan/infra/opensearch"
)

func newIndex(t *testing.T, url string) *opensearch.Index {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c, err := client.New(client.Config{URL: url, HTTP: &http.Client{Transport: transport}})
	if err != nil {
		t.Fatal(err)
	}
	index, err := opensearch.New(c, fmt.Sprint("test", time.Now().UnixNano()))
	if err != nil {
		t.Fatal(err)
	}
	return index
}

// peer is a real OpenSearch: infra/sandbox/conformance/opensearch.sh.
func peer(t *testing.T) string {
	url := os.Getenv("BANYAN_CONFORMANCE_OPENSEARCH")
	if url == "" {
		t.Skip("BANYAN_CONFORMANCE_OPENSEARCH is not set: make conformance-search")
	}
	return url
}

func TestPeerConforms(t *testing.T) {
	url := peer(t)
	searchtest.Run(t, func(t *testing.T) search.Index { return newIndex(t, url) })
}

// TestPeerRemovedIndexesStayAway writes to an index that another build has removed meanwhile.
func TestPeerRemovedIndexesStayAway(t *testing.T) {
	index := newIndex(t, peer(t))
	first, err := index.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second, err := index.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	documents := []search.Document{searchtest.Document("a", "oak", 1, 1)}
	if err := first.Write(t.Context(), documents); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("a write to the removed one: %v", err)
	}
	if err := first.Use(t.Context()); err == nil {
		t.Error("the removed one is in use")
	}
	if _, err := (search.Searcher{Index: index}).Search(t.Context(), "oak", "", 0); err == nil || !strings.Contains(err.Error(), search.ErrNotBuilt.Error()) {
		t.Errorf("before any is in use: %v", err)
	}
	if err := second.Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := index.Write(t.Context(), documents); err != nil {
		t.Errorf("a write where there is no index: %v", err)
	}
}
