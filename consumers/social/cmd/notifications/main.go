// Command notifications is the Lambda function that notifies users of who follows them. Its
// environment is that of package consumers/notify/setup and of package function. What is
// deferred is sent by the function notify-due, which has the same.
package main

import (
	"context"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/function"
	"github.com/banyan-fig/banyan/consumers/notify/setup"
	"github.com/banyan-fig/banyan/consumers/notify/store"
	"github.com/banyan-fig/banyan/consumers/social/notifications"
	"github.com/banyan-fig/banyan/events/social"
)

func main() {
	function.Main(function.Spec{
		Name:     "notifications",
		Registry: social.Registry(),
		Tables:   []function.Table{{Variable: setup.TableVariable, Default: store.DefaultTable}},
		Handler: func(e function.Env) (consumers.Handler, error) {
			templates, err := notifications.Templates()
			if err != nil {
				return nil, err
			}
			engine, err := setup.Engine(context.Background(), setup.Environment{
				Getenv: e.Getenv, AWS: e.AWS, Client: e.DynamoDB, Table: e.Table(setup.TableVariable), Logger: e.Logger,
			}, templates)
			if err != nil {
				return nil, err
			}
			return engine.Handler(notifications.Rule), nil
		},
	})
}
