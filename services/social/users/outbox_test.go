package users_test

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/publishers/outboxtable"
	"github.com/banyan-fig/banyan/services/social/users"
	"github.com/banyan-fig/banyan/services/social/users/dynamodb"
	"github.com/banyan-fig/banyan/services/social/users/userstest"
)

// refusing is a publisher that can be out of order.
type refusing struct {
	users.Publisher
	refuse atomic.Bool
}

func (p *refusing) Publish(ctx context.Context, e events.Event) (events.Position, error) {
	if p.refuse.Load() {
		return events.Position{}, errors.New("out of order")
	}
	return p.Publisher.Publish(ctx, e)
}

// TestWhatWasNotPublishedIsKept: with DynamoDB for the owner, the events of a
// write whose publishing failed are in the outbox, and those of one that was told
// are not.
func TestWhatWasNotPublishedIsKept(t *testing.T) {
	tables, stream := userstest.Dynamo(t), userstest.NewStream(t)
	userstest.Tables(t, tables)
	own(t, ownership.NewTable(tables, ""))
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	publisher := &refusing{Publisher: stream.Publisher}
	a := &api{t, userstest.NewInstance(t, userstest.Mongo(t), tables, publisher), &http.Client{Transport: transport}, stream}
	publisher.refuse.Store(true)
	if res, body := a.do(request{method: "PUT", path: "/v1/users/" + ned, body: nedBody}); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("create without a stream: %d %s", res.StatusCode, body)
	}
	publisher.refuse.Store(false)
	res, body := a.do(request{method: "PATCH", path: "/v1/users/" + ned, body: `{"bio":"second"}`})
	if res.StatusCode != http.StatusOK || res.Header.Get(events.HeaderWritten) == "" {
		t.Errorf("change: %d %s", res.StatusCode, body)
	}
	waitForItems(t, tables, 1) // of the create
	sweep(t, tables, stream)
	waitForItems(t, tables, 0)
	told := map[string]int{}
	for _, e := range stream.Events() {
		told[e.Type]++
	}
	if told["user.joined"] != 1 || told["user.profile-updated"] == 0 {
		t.Errorf("on the stream: %v", told)
	}
}

func waitForItems(t *testing.T, tables *awsdynamodb.Client, want int) {
	t.Helper()
	got := -1
	for deadline := time.Now().Add(time.Minute); got != want; time.Sleep(10 * time.Millisecond) {
		out, err := tables.Scan(t.Context(), &awsdynamodb.ScanInput{TableName: aws.String(dynamodb.DefaultOutboxTable), ConsistentRead: aws.Bool(true)})
		if err != nil {
			t.Fatal(err)
		}
		if got = len(out.Items); got != want && time.Now().After(deadline) {
			t.Fatalf("%d items in the outbox, want %d", got, want)
		}
	}
}

type noLetters struct{ *testing.T }

func (l noLetters) Put(_ context.Context, d outboxtable.DeadLetter) error {
	l.Errorf("a dead letter: %+v", d)
	return nil
}

func sweep(t *testing.T, tables *awsdynamodb.Client, stream *userstest.Stream) {
	t.Helper()
	r, err := outboxtable.New(outboxtable.Config{
		Client: tables, Table: dynamodb.DefaultOutboxTable, Publisher: stream.Publisher, DeadLetters: noLetters{t},
	})
	if err == nil {
		_, err = r.Sweep(t.Context(), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
}
