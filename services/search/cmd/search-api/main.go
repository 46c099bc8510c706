// Command search-api is the search API as a Lambda function behind an HTTP API (see package
// lambdahttp), over an index in OpenSearch:
//
//	SEARCH_INDEX        name of the index, default search
//	SEARCH_PUBLIC       true: nobody is asked for a token
//	BANYAN_JWT_SECRET   otherwise: token secret, or a reference to it (see package config)
//	OPENSEARCH_URL, OPENSEARCH_AUTH, OPENSEARCH_USER, OPENSEARCH_PASSWORD   see infra/opensearch
//	LOG_LEVEL           debug, info (default), warn or error
package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/infra/ops/function"
	"github.com/banyan-fig/banyan/infra/telemetry/emf"
	"github.com/banyan-fig/banyan/infra/token/keys"
	"github.com/banyan-fig/banyan/services/lambdahttp"
	"github.com/banyan-fig/banyan/services/search"
	"github.com/banyan-fig/banyan/services/search/cmd/internal/wiring"
)

func main() { function.Main("search-api", newFunction) }

// startTimeout is a little less than Lambda gives a function to start.
const startTimeout = 9 * time.Second

func newFunction(p function.Parts) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	named := wiring.Settings{Index: cmp.Or(p.Getenv("SEARCH_INDEX"), "search")}
	index, err := named.OpenSearch(config.NewSettings(), p.Getenv, p.AWS)
	if err != nil {
		return nil, err
	}
	cfg := search.Config{Index: index, Logger: p.Logger}
	if cfg.Public, err = strconv.ParseBool(cmp.Or(p.Getenv("SEARCH_PUBLIC"), "false")); err != nil {
		return nil, fmt.Errorf("invalid SEARCH_PUBLIC %q: must be true or false", p.Getenv("SEARCH_PUBLIC"))
	}
	if !cfg.Public {
		if cfg.Tokens, err = keys.OpenFunction(ctx, config.NewSettings(), p.Getenv(keys.Variable), p.Logger); err != nil {
			return nil, err
		}
	}
	api, err := search.NewHandler(cfg)
	if err != nil {
		return nil, err
	}
	return lambdahttp.New(api, lambdahttp.Config{
		Service: cmp.Or(p.Getenv("AWS_LAMBDA_FUNCTION_NAME"), "search-api"), Metrics: emf.New(os.Stdout, lambdahttp.Namespace), Logger: p.Logger,
	})
}
