package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/social/recommendations"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// TestSweep derives the lists of the example's users, which another function keeps.
func TestSweep(t *testing.T) {
	db := streamtest.NewDynamoDB(t)
	name := db.CreateTable(dynamo.CompositeTable)
	m, err := recommendations.New(db.Client(nil), name)
	if err != nil {
		t.Fatal(err)
	}
	for n, p := range []events.Payload{
		social.RelationshipFollowed{FollowerID: "ada", FolloweeID: "bob"},
		social.RelationshipFollowed{FollowerID: "bob", FolloweeID: "cy"},
		social.RelationshipFollowed{FollowerID: "bob", FolloweeID: "di"},
		social.RelationshipFollowed{FollowerID: "bob", FolloweeID: "eve"},
		social.RelationshipUnfollowed{FollowerID: "bob", FolloweeID: "di"},
		social.UserLeft{UserID: "eve"},
		social.UserJoined{UserID: "fay"},
	} {
		message := streamtest.Message(t, n+1, p)
		message.Payload = p
		if err := m.Handle(t.Context(), message); err != nil {
			t.Fatal(err)
		}
	}
	for variable, value := range map[string]string{
		"AWS_ENDPOINT_URL_DYNAMODB": db.Endpoint, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
	} {
		t.Setenv(variable, value)
	}
	f, err := newFunction(t.Context(), func(variable string) string { return map[string]string{table: name}[variable] })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if a, err := f.sweep(ctx); err != nil || a.Derived < 3 {
		t.Errorf("%+v, %v", a, err)
	}
	list, err := m.Get(t.Context(), "ada")
	if err != nil || len(list.Suggestions) != 1 || list.Suggestions[0].ID != "cy" {
		t.Errorf("%+v, %v", list, err)
	}
	late, cancelLate := context.WithTimeout(t.Context(), time.Second) // all of it is the margin
	defer cancelLate()
	if a, err := f.sweep(late); err != nil || a.Derived != 0 {
		t.Errorf("out of time: %+v, %v", a, err)
	}
	if _, err := newFunction(t.Context(), func(string) string { return "" }); err == nil || !strings.Contains(err.Error(), table) {
		t.Errorf("without a table: %v", err)
	}
}
