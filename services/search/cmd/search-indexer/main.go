// Command search-indexer is the Lambda function on the stream of a read model's table that
// writes its changes to OpenSearch. It has the flags of banyan-search for its environment
// (SEARCH_TABLE, SEARCH_TEXT, ...), and
//
//	OPENSEARCH_URL, OPENSEARCH_AUTH, OPENSEARCH_USER, OPENSEARCH_PASSWORD   see infra/opensearch
//	LOG_LEVEL   debug, info (default), warn or error
//
// Run banyan-search rebuild once the mapping is there: until then there is no index to write
// to, and what comes before is in the table. A batch that fails is retried as a whole, so
// the mapping should retry without limit, and may bisect.
package main

import (
	"github.com/banyan-fig/banyan/consumers/search/projection"
	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/infra/ops/function"
	"github.com/banyan-fig/banyan/services/search/cmd/internal/wiring"
)

func main() { function.Main("search-indexer", newFunction) }

func newFunction(p function.Parts) (any, error) {
	settings, err := wiring.FromEnvironment(p.Getenv)
	if err != nil {
		return nil, err
	}
	index, err := settings.OpenSearch(config.NewSettings(), p.Getenv, p.AWS)
	if err != nil {
		return nil, err
	}
	follow, err := projection.New(projection.Config{Table: settings.Table, Fields: settings.Fields(), Index: index, Logger: p.Logger})
	if err != nil {
		return nil, err
	}
	return follow.Handle, nil
}
