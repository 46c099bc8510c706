package target_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/migrate/target"
)

func TestATableThatWasReplacedIsRefused(t *testing.T) {
	w := newWorld(t)
	began, err := w.Ensure(t.Context())
	if err != nil || len(began) != 2 || began[0].Table != "people" || began[1].Table != "people-email" || uuid.Validate(began[0].ID) != nil ||
		began[0].Created.IsZero() || began[0].ID == began[1].ID {
		t.Fatalf("%v %v", began, err)
	}
	elsewhere, more := slices.Clone(began), append(slices.Clone(began), target.Identity{Table: "people-phone"})
	elsewhere[0].ARN = strings.Replace(elsewhere[0].ARN, "eu-west-1", "us-east-1", 1)
	for name, c := range map[string]struct {
		before []target.Identity
		says   string
	}{
		"the same":       {began, ""},
		"another region": {elsewhere, "AWS_REGION"},
		"one more now":   {began[:1], "people-email"},
		"one less now":   {more, "no longer names"},
	} {
		err := w.CheckIdentities(t.Context(), c.before)
		if c.says == "" && err != nil || c.says != "" && (!errors.Is(err, target.ErrReplaced) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.client.DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: aws.String("people-email")}); err != nil {
		t.Fatal(err)
	}
	if err := w.CheckIdentities(t.Context(), began); !errors.Is(err, target.ErrReplaced) || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("deleted: %v", err)
	}
	again, err := w.Ensure(t.Context())
	if err != nil || again[0] != began[0] || again[1].ID == began[1].ID {
		t.Errorf("%v %v, before %v", again, err, began)
	}
	err = w.CheckIdentities(t.Context(), began)
	if !errors.Is(err, target.ErrReplaced) || !strings.Contains(err.Error(), "created again") || !strings.Contains(err.Error(), "people-email") {
		t.Errorf("created again: %v", err)
	}
}
