package target_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/side"
	"github.com/banyan-fig/banyan/migrate/target"
)

var errLeaseLost = errors.New("the lease is lost")

// TestAWriteThatIsSentLateIsRefused: a process is paused after it looked at its lease, and
// sends what it had signed before. It looks again before it signs again.
func TestAWriteThatIsSentLateIsRefused(t *testing.T) {
	for name, call := range map[string]func(*world, *target.Tables) error{
		"Apply": func(w *world, late *target.Tables) error {
			v := version{at: 7, email: "e"}
			return late.Apply(t.Context(), w.version("A", v, v.at))
		},
		"Fill": func(w *world, late *target.Tables) error {
			batches, _, err := late.Batches([]bson.Raw{w.document("A", version{at: 7}), w.document("B", version{at: 7})}, 7)
			if err != nil || len(batches) != 1 {
				t.Fatal(len(batches), err)
			}
			return batches[0].Fill(t.Context(), false)
		},
		"DeleteLeftover": func(w *world, late *target.Tables) error {
			w.leaveOver("e")
			return late.DeleteLeftover(t.Context(), side.Mismatch{UniqueValue: "email#e"})
		},
		"RemoveTombstones": func(w *world, late *target.Tables) error {
			w.apply("A", version{at: 7, deleted: true})
			_, err := late.RemoveTombstones(t.Context(), 0)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			asked := 0
			err := call(w, w.Checked(func(context.Context) error {
				if asked++; asked > 1 {
					return errLeaseLost
				}
				w.ahead.Add(int64(target.SignatureLifetime + time.Minute)) // the pause
				return nil
			}))
			w.ahead.Store(0)
			if err == nil || !errors.Is(err, errLeaseLost) && !strings.Contains(err.Error(), "Signature expired") {
				t.Errorf("%v", err)
			}
			for _, item := range append(w.scan("people"), w.scan("people-email")...) {
				if s := stamp.Of(item); name == "Apply" || name == "Fill" || s.Time != 7 && s.Time != 4 {
					t.Errorf("%v is written", item)
				}
			}
			if name == "RemoveTombstones" && len(w.scan("people")) != 1 || name == "DeleteLeftover" && len(w.scan("people-email")) != 1 {
				t.Error("something is deleted")
			}
		})
	}
}

// TestALostLeaseSendsNothing, and is told at once as what it is.
func TestALostLeaseSendsNothing(t *testing.T) {
	w := newWorld(t)
	asked := 0
	late := w.Checked(func(context.Context) error { asked++; return errLeaseLost })
	v := version{at: 7, email: "e"}
	if err := late.Apply(t.Context(), w.version("A", v, v.at)); !errors.Is(err, errLeaseLost) || asked != 1 {
		t.Errorf("%v, after %d attempts", err, asked)
	}
	w.mustHold(nil)
	if err := w.Checked(func(context.Context) error { return nil }).Apply(t.Context(), w.version("A", v, v.at)); err != nil {
		t.Fatal(err)
	}
	w.mustHold(map[string]version{"A": v})
}

// TestTheCheckIsBehindTheSignature, so that a signature is as old as the pause behind it.
func TestTheCheckIsBehindTheSignature(t *testing.T) {
	w := newWorld(t)
	var request *smithyhttp.Request
	capture := middleware.FinalizeMiddlewareFunc("capture", func(ctx context.Context, in middleware.FinalizeInput,
		next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
		request = in.Request.(*smithyhttp.Request)
		return next.HandleFinalize(ctx, in)
	})
	signed := false
	_, err := w.client.ListTables(t.Context(), &dynamodb.ListTablesInput{}, target.CheckAfterSigning(func(context.Context) error {
		signed = request.Header.Get("Authorization") != "" && request.Header.Get("X-Amz-Date") != ""
		return nil
	}), dynamodb.WithAPIOptions(func(stack *middleware.Stack) error {
		return stack.Finalize.Insert(capture, "Signing", middleware.Before)
	}))
	if err != nil || !signed {
		t.Errorf("signed %v, %v", signed, err)
	}
}
