// Command timeline is the Lambda function that keeps timelines from events. Its
// table is TIMELINE_TABLE, default banyan-timeline; see package function for
// the rest of its environment.
package main

import (
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/function"
	"github.com/banyan-fig/banyan/consumers/social/timeline"
)

func main() {
	function.Main(function.Spec{
		Name:          "timeline",
		TableVariable: "TIMELINE_TABLE",
		DefaultTable:  timeline.DefaultTable,
		Handler: func(client *dynamodb.Client, table string) (consumers.Handler, error) {
			m, err := timeline.New(timeline.Config{Client: client, Table: table})
			if err != nil {
				return nil, err
			}
			return m.Handle, nil
		},
	})
}
