// Command profile is the Lambda function that keeps profiles and their counters
// from events. Its table is PROFILE_TABLE, default banyan-profile; see package
// function for the rest of its environment.
package main

import (
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/function"
	"github.com/banyan-fig/banyan/consumers/social/profile"
)

func main() {
	function.Main(function.Spec{
		Name:          "profile",
		TableVariable: "PROFILE_TABLE",
		DefaultTable:  profile.DefaultTable,
		Handler: func(client *dynamodb.Client, table string) (consumers.Handler, error) {
			m, err := profile.New(profile.Config{Client: client, Table: table})
			if err != nil {
				return nil, err
			}
			return m.Handle, nil
		},
	})
}
