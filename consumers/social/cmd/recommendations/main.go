// Command recommendations is the Lambda function that keeps whom users may want to follow from
// events. Its table is RECOMMENDATIONS_TABLE, default banyan-recommendations; see package
// function for the rest of its environment. The function recommend-sweep derives the lists.
package main

import (
	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/function"
	"github.com/banyan-fig/banyan/consumers/social/recommendations"
	"github.com/banyan-fig/banyan/events/social"
)

const table = "RECOMMENDATIONS_TABLE"

func main() {
	function.Main(function.Spec{
		Name:     "recommendations",
		Registry: social.Registry(),
		Tables:   []function.Table{{Variable: table, Default: recommendations.DefaultTable}},
		Handler: func(e function.Env) (consumers.Handler, error) {
			m, err := recommendations.New(e.DynamoDB, e.Table(table))
			if err != nil {
				return nil, err
			}
			return m.Handle, nil
		},
	})
}
