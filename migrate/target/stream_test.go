package target_test

import (
	"context"
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/side"
	"github.com/banyan-fig/banyan/migrate/target"
)

// The stream that the way back reads is enabled on a table that exists, once, and one of
// other images is refused: somebody reads it.
func TestAStreamOfTheTargetTable(t *testing.T) {
	w := newWorld(t)
	table := &w.Plan.Target.Table
	if err := w.EnsureStream(t.Context()); err != nil {
		t.Fatal(err)
	}
	if arn, err := w.StreamARN(t.Context()); err != nil || arn == "" {
		t.Fatalf("%q, %v", arn, err)
	}
	set := func(stream *types.StreamSpecification) {
		t.Helper()
		if _, err := w.client.UpdateTable(t.Context(), &dynamodb.UpdateTableInput{TableName: table, StreamSpecification: stream}); err != nil {
			t.Fatal(err)
		}
	}
	set(&types.StreamSpecification{StreamEnabled: aws.Bool(false)})
	if _, err := w.StreamARN(t.Context()); !errors.Is(err, target.ErrNoStream) {
		t.Errorf("of a table whose stream was disabled: %v", err)
	}
	set(&types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeKeysOnly})
	if _, err := w.Ensure(t.Context()); !errors.Is(err, target.ErrNoStream) {
		t.Errorf("a stream of keys: %v", err)
	}
	set(&types.StreamSpecification{StreamEnabled: aws.Bool(false)})
	for range 2 {
		if err := w.EnsureStream(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if arn, err := w.StreamARN(t.Context()); err != nil || arn == "" {
		t.Errorf("of a table that had none: %q, %v", arn, err)
	}
}

// A barrier is no document, under any type of key.
func TestABarrierIsNoDocument(t *testing.T) {
	w := newWorld(t)
	key, err := w.PutBarrier(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	err = w.ScanIDs(t.Context(), side.Segment{N: 0, Of: 1}, func(_ context.Context, ids []bson.RawValue, _ int, _ []side.Mismatch) error {
		if len(ids) > 0 {
			t.Errorf("it has the identifiers %v", ids)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := errors.Join(w.RemoveBarrier(t.Context(), key), w.RemoveBarrier(t.Context(), key)); err != nil || len(w.scan(w.Plan.Target.Table)) > 0 {
		t.Errorf("removed twice: %v", err)
	}
}
