// Command recommend-sweep is the Lambda function that derives the lists of package recommend,
// of any company, for the users who are due. A schedule invokes it, once a minute, say:
//
//	RECOMMEND_TABLE  the table, required
//	LOG_LEVEL        debug, info (default), warn or error
//
// It answers with how many lists it derived, {"derived":12}, and goes on until nobody is due
// or its time ends; who is still due then is next time. More of them may run at the same time.
// IAM: GetItem, BatchGetItem, Query, PutItem, UpdateItem, DeleteItem and ConditionCheckItem on the
// table.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers/function"
	"github.com/banyan-fig/banyan/consumers/recommend"
	"github.com/banyan-fig/banyan/infra/awssdk"
)

const table = "RECOMMEND_TABLE"

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second) // Lambda's for a start
	f, err := newFunction(ctx, os.Getenv)
	cancel()
	if err != nil {
		fmt.Fprintf(os.Stderr, "recommend-sweep: cannot start: %v\n", err)
		os.Exit(1)
	}
	lambda.Start(f.sweep)
}

type sweeper struct{ model *recommend.Model }

func newFunction(ctx context.Context, getenv func(string) string) (*sweeper, error) {
	settings, err := function.ParseSettings(function.Spec{Name: "recommend-sweep", Tables: []function.Table{{Variable: table}}}, getenv)
	if err != nil {
		return nil, err
	}
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return nil, err
	}
	model, err := recommend.New(recommend.Config{Client: dynamodb.NewFromConfig(sdk), Table: settings.Tables[table]})
	return &sweeper{model}, err
}

type answer struct {
	Derived int `json:"derived"`
}

// margin is the end of the function's time in which no list is begun.
const margin = 2 * time.Second

func (s *sweeper) sweep(ctx context.Context) (answer, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-margin))
		defer cancel()
	}
	var a answer
	for {
		derived, left, err := s.model.Sweep(ctx)
		a.Derived += derived
		if ctx.Err() != nil {
			return a, nil // who is due still is next time
		}
		if err != nil || derived+left == 0 {
			return a, err
		}
	}
}
