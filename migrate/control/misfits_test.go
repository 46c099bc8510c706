package control_test

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	dynamodbserver "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/side"
)

func newStores(t *testing.T, n int) []*control.Store {
	t.Helper()
	server := httptest.NewServer(dynamodbserver.New(dynamodbserver.Config{}))
	t.Cleanup(server.Close)
	client := dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: &server.URL,
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
	if err := ownership.NewTable(client, "").Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	var all []*control.Store
	for range n {
		all = append(all, control.New(client, ownership.DefaultTable, "users"))
	}
	return all
}

func text(s string) bson.RawValue {
	return bson.RawValue{Type: bson.TypeString, Value: bsoncore.AppendString(nil, s)}
}

func misfit(id bson.RawValue, why string) *side.Misfit { return &side.Misfit{ID: id, Why: why} }

// TestMisfits: the newest version of a document is the one that is set aside, and an older
// one that fits does not remove it.
func TestMisfits(t *testing.T) {
	s := newStores(t, 1)[0]
	short, long := text("a"), text(strings.Repeat("x", 1500)) // longer than a sort key
	for _, m := range []struct {
		id  bson.RawValue
		at  stamp.ClusterTime
		why string
	}{{short, 7, "first"}, {short, 5, "older"}, {long, 7, "long"}} {
		if err := s.SetAside(t.Context(), misfit(m.id, m.why), m.at); err != nil {
			t.Fatal(err)
		}
	}
	whys := func() string {
		t.Helper()
		all, err := s.Misfits(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		text := ""
		for _, m := range all {
			text += m.Why + " "
		}
		return text
	}
	if got := whys(); got != "first long " {
		t.Errorf("%q", got)
	}
	for _, m := range []struct {
		id bson.RawValue
		at stamp.ClusterTime
	}{{short, 6}, {long, 7}, {long, 7}, {text("none"), 7}} {
		if err := s.RemoveMisfit(t.Context(), m.id, m.at); err != nil { // a removal may come twice
			t.Fatal(err)
		}
	}
	if got := whys(); got != "first " {
		t.Errorf("%q", got)
	}
	if err := s.RemoveMisfit(t.Context(), short, 8); err != nil {
		t.Fatal(err)
	}
	if got := whys(); got != "" {
		t.Errorf("%q", got)
	}
}

// TestMisfitsAreBounded: with too many the plan is wrong, whichever process finds the last.
func TestMisfitsAreBounded(t *testing.T) {
	stores := newStores(t, 2)
	for i := range 4 {
		s := stores[i/3]
		s.MaxMisfits = 3
		err := s.SetAside(t.Context(), misfit(text(fmt.Sprint(i)), "large"), 1)
		if wanted := i == 3; wanted != errors.Is(err, control.ErrTooManyMisfits) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if err := stores[1].SetAside(t.Context(), misfit(text("1"), "large"), 2); err != nil {
		t.Errorf("a newer version of one that stands: %v", err)
	}
	all, err := stores[0].Misfits(t.Context())
	if err != nil || len(all) != 3 {
		t.Fatalf("%d, %v", len(all), err)
	}
	if err := stores[0].RemoveMisfit(t.Context(), all[0].DocumentID(), all[0].At); err != nil {
		t.Fatal(err)
	}
	if err := stores[1].SetAside(t.Context(), misfit(text("3"), "large"), 1); err != nil {
		t.Errorf("after one was removed: %v", err)
	}
}
