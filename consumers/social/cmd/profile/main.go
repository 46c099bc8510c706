// Command profile is the Lambda function that keeps profiles and their counters from events. Its
// table is PROFILE_TABLE, default banyan-profile; see package function for the rest of
// its environment.
package main

import (
	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/function"
	"github.com/banyan-fig/banyan/consumers/social/profile"
	"github.com/banyan-fig/banyan/events/social"
)

const table = "PROFILE_TABLE"

func main() {
	function.Main(function.Spec{
		Name:     "profile",
		Registry: social.Registry(),
		Tables:   []function.Table{{Variable: table, Default: profile.DefaultTable}},
		Handler: func(e function.Env) (consumers.Handler, error) {
			m, err := profile.New(profile.Config{Client: e.DynamoDB, Table: e.Table(table)})
			if err != nil {
				return nil, err
			}
			return m.Handle, nil
		},
	})
}
