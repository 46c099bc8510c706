package ownership_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/migrate/ownership"
)

func TestUpdate(t *testing.T) {
	table := tableOn(newServer(t))
	r, err := table.Load(t.Context(), entity)
	initial := ownership.Record{Entity: entity, Owner: ownership.MongoDB, Epoch: 1, Phase: ownership.Legacy}
	if err != nil || r != initial {
		t.Fatalf("Load of nothing = %+v, %v", r, err)
	}
	until := time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC)
	next, err := table.Update(t.Context(), r, hold(until))
	if err != nil || next.Revision != 1 {
		t.Fatalf("Update = %+v, %v", next, err)
	}
	if got, err := table.Load(t.Context(), entity); err != nil || !cmp.Equal(got, next) || got.HeldAt.IsZero() {
		t.Errorf("Load = %+v, %v; want %+v", got, err, next)
	}
	if _, err := table.Update(t.Context(), r, hold(until)); !errors.Is(err, ownership.ErrConflict) {
		t.Errorf("Update of an old record = %v, want ErrConflict", err)
	}
	for name, change := range map[string]func(*ownership.Record){
		"owner without epoch": func(r *ownership.Record) { r.Owner = ownership.DynamoDB },
		"epoch without owner": func(r *ownership.Record) { r.Epoch++ },
		"unknown owner":       func(r *ownership.Record) { r.Owner, r.Epoch = "oracle", 2 },
		"unknown phase":       func(r *ownership.Record) { r.Phase = "done" },
		"another entity":      func(r *ownership.Record) { r.Entity = "posts" },
	} {
		if _, err := table.Update(t.Context(), next, change); !errors.Is(err, ownership.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
}

const (
	uuidA = "00112233445566778899aabbccddeeff"
	uuidB = "ffeeddccbbaa99887766554433221100"
)

func move(from, to string) *ownership.Move { return &ownership.Move{From: from, To: to} }

// TestNamesFollowTheRules leads one record through a whole migration, and at each state
// tries the changes that would let a late command do harm.
func TestNamesFollowTheRules(t *testing.T) {
	table := tableOn(newServer(t))
	r, err := table.Load(t.Context(), entity)
	if err != nil {
		t.Fatal(err)
	}
	type change = func(*ownership.Record)
	adopt := func(phase ownership.Phase, name, uuid string) change {
		return func(r *ownership.Record) {
			r.Phase, r.Collection, r.CollectionUUID, r.Move, r.Hold = phase, name, uuid, nil, false
		}
	}
	announce := func(g int64, from, to string) change {
		return func(r *ownership.Record) { r.Generation, r.Move = g, move(from, to) }
	}
	for i, step := range []struct {
		refused map[string]change
		made    change
	}{
		{map[string]change{
			"a name without a move": adopt(ownership.Encapsulated, "P1", uuidA),
			"a UUID without a name": func(r *ownership.Record) { r.CollectionUUID = uuidA },
			"a UUID that is none":   func(r *ownership.Record) { announce(1, "N", "P1")(r); r.CollectionUUID = "0011" },
			"a move from nowhere":   announce(1, "", "P1"),
		}, announce(1, "N", "P1")},
		{nil, hold(time.Time{})},
		{map[string]change{
			"a lower generation":               func(r *ownership.Record) { r.Generation = 0 },
			"a hold that ends before its move": func(r *ownership.Record) { r.Hold = false },
			"another name than the move's":     adopt(ownership.Encapsulated, "P2", uuidA),
			"a name without a UUID":            adopt(ownership.Encapsulated, "P1", ""),
			"a UUID that is none":              adopt(ownership.Encapsulated, "P1", "0011"),
			"an upper-case UUID":               adopt(ownership.Encapsulated, "P1", strings.ToUpper(uuidA)),
			"a new owner while it moves": func(r *ownership.Record) {
				r.Owner, r.Epoch, r.Phase = ownership.DynamoDB, 2, ownership.Switched
			},
		}, adopt(ownership.Encapsulated, "P1", uuidA)},
		{map[string]change{
			"a return to the present name": announce(2, "P2", "P1"),
			"the public name by itself":    adopt(ownership.Abandoned, "", ""),
		}, func(r *ownership.Record) { announce(2, "P1", "P2")(r); hold(time.Time{})(r) }},
		{map[string]change{
			"another UUID while it moves": func(r *ownership.Record) { r.CollectionUUID = uuidB },
		}, func(r *ownership.Record) { announce(3, "P2", "P3")(r) }}, // undone: on to a further name
		{map[string]change{
			"the public name in passing": adopt(ownership.Shadowing, "", ""),
			"the name before last":       adopt(ownership.Shadowing, "P2", uuidA),
		}, adopt(ownership.Shadowing, "P3", uuidA)},
		{nil, func(r *ownership.Record) { announce(4, "P3", "P4")(r); hold(time.Time{})(r) }},
		{nil, func(r *ownership.Record) {
			adopt(ownership.Switched, "P4", uuidA)(r)
			r.Hold, r.Owner, r.Epoch = true, ownership.DynamoDB, 2
		}},
	} {
		for name, change := range step.refused {
			if _, err := table.Update(t.Context(), r, change); !errors.Is(err, ownership.ErrInvalid) {
				t.Errorf("step %d, %s: %v, want ErrInvalid", i, name, err)
			}
		}
		next, err := table.Update(t.Context(), r, step.made)
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		got, err := table.Load(t.Context(), entity)
		if d := cmp.Diff(next, got); d != "" || err != nil {
			t.Errorf("step %d: %v, stored otherwise than returned:\n%s", i, err, d)
		}
		r = next
	}
}

// TestAbandonedGivesTheNameBack: in the end the record has no name, as at the beginning.
func TestAbandonedGivesTheNameBack(t *testing.T) {
	table := tableOn(newServer(t))
	r, err := table.Load(t.Context(), entity)
	for _, change := range []func(*ownership.Record){
		func(r *ownership.Record) { hold(time.Time{})(r); r.Generation, r.Move = 1, move("N", "P1") },
		func(r *ownership.Record) {
			r.Phase, r.Collection, r.CollectionUUID, r.Move, r.Hold = ownership.Copying, "P1", uuidA, nil, false
		},
		func(r *ownership.Record) {
			hold(time.Time{})(r)
			r.Phase, r.Move = ownership.Abandoned, move("P1", "N")
		},
		func(r *ownership.Record) { r.Collection, r.CollectionUUID, r.Move, r.Hold = "", "", nil, false },
	} {
		if err == nil {
			r, err = table.Update(t.Context(), r, change)
		}
	}
	if err != nil || r.Collection != "" || r.Generation != 1 || !r.HeldAt.IsZero() {
		t.Errorf("abandoned = %+v, %v", r, err)
	}
}

// TestTheFirstMoveCanNameTheUUID, which ends with it, if the collection does not move.
func TestTheFirstMoveCanNameTheUUID(t *testing.T) {
	table := tableOn(newServer(t))
	r, err := table.Load(t.Context(), entity)
	announced := func(r *ownership.Record) {
		r.Generation, r.Move, r.CollectionUUID = r.Generation+1, move("N", "P1"), uuidA
	}
	cleared := func(r *ownership.Record) { r.Move = nil }
	adopted := func(uuid string) func(*ownership.Record) {
		return func(r *ownership.Record) {
			r.Phase, r.Collection, r.CollectionUUID, r.Move, r.Hold = ownership.Encapsulated, "P1", uuid, nil, false
		}
	}
	for _, step := range []struct {
		change func(*ownership.Record)
		uuid   string
		err    error
	}{
		{announced, uuidA, nil}, {cleared, "", nil}, {announced, uuidA, nil}, {hold(time.Time{}), uuidA, nil},
		{func(r *ownership.Record) { r.CollectionUUID = uuidB }, uuidA, ownership.ErrInvalid},
		{adopted(uuidB), uuidA, ownership.ErrInvalid},
		{adopted(uuidA), uuidA, nil},
	} {
		next, updateErr := table.Update(t.Context(), r, step.change)
		if err == nil && updateErr == nil {
			r = next
		}
		if err != nil || !errors.Is(updateErr, step.err) || r.CollectionUUID != step.uuid {
			t.Errorf("UUID %q, %v, %v; want %q, %v", r.CollectionUUID, err, updateErr, step.uuid, step.err)
		}
	}
}

// TestOldItemsDecode: a record and a row that a former version wrote are what they were,
// and a member that does not know names does not claim to.
func TestOldItemsDecode(t *testing.T) {
	server := newServer(t)
	client, table := clientOver(wire{handler: server}), tableOn(server)
	str := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	num := func(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }
	for _, item := range []map[string]types.AttributeValue{
		{"sk": str("owner"), "owner": str("mongodb"), "epoch": num("3"), "phase": str("switching"), "revision": num("8"),
			"hold": &types.AttributeValueMemberBOOL{Value: true}, "token": str("t"), "holdUntil": str("2030-01-02T03:04:05.000000006Z")},
		{"sk": str("member#a"), "service": str("s"), "acked": num("7"), "beat": num("2"), "leaseMs": num("2000"), "inflight": num("1"),
			"appName": str("app")},
	} {
		item["pk"] = str("entity#" + entity)
		if _, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(table.Name()), Item: item}); err != nil {
			t.Fatal(err)
		}
	}
	r, err := table.Load(t.Context(), entity)
	want := ownership.Record{Entity: entity, Owner: ownership.MongoDB, Epoch: 3, Phase: ownership.Switching, Hold: true,
		HoldUntil: time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC), Revision: 8}
	if d := cmp.Diff(want, r); d != "" || err != nil {
		t.Errorf("Load: %v\n%s", err, d)
	}
	rows, err := table.Members(t.Context(), entity)
	row := []ownership.MemberState{{ID: "a", Service: "s", Acked: 7, Beat: 2, Lease: 2 * time.Second, Inflight: 1, AppName: "app"}}
	if d := cmp.Diff(row, rows); d != "" || err != nil {
		t.Errorf("Members: %v\n%s", err, d)
	}
}
