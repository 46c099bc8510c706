// Command timeline is the Lambda function that keeps timelines from events. Its
// table is TIMELINE_TABLE, default banyan-timeline; see package function for the rest of
// its environment.
package main

import (
	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/function"
	"github.com/banyan-fig/banyan/consumers/social/timeline"
	"github.com/banyan-fig/banyan/events/social"
)

const table = "TIMELINE_TABLE"

func main() {
	function.Main(function.Spec{
		Name:     "timeline",
		Registry: social.Registry(),
		Tables:   []function.Table{{Variable: table, Default: timeline.DefaultTable}},
		Handler: func(e function.Env) (consumers.Handler, error) {
			m, err := timeline.New(timeline.Config{Client: e.DynamoDB, Table: e.Table(table)})
			if err != nil {
				return nil, err
			}
			return m.Handle, nil
		},
	})
}
