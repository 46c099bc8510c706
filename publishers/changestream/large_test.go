package changestream_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/publishers/changestream"
)

// TestChangesThatAreTooLarge come without documents from a server that cannot split
// events (PeerDB#3105): the documents are looked up, and every field counts as changed.
func TestChangesThatAreTooLarge(t *testing.T) {
	w := newWorld(t, 1)
	p, err := changestream.New(w.config(parse(t, usersMapping)))
	if err != nil {
		t.Fatal(err)
	}
	w.do(w.users.InsertOne(w.ctx, doc("_id", id(1), "name", "Ada", "version", 3)))
	for i, c := range []changestream.Change{
		{Operation: "insert", Key: keyOf(t, 1)},
		{Operation: "update", Key: keyOf(t, 1)},
		{Operation: "replace", Key: keyOf(t, 1)},
		{Operation: "delete", Key: keyOf(t, 1)},
		{Operation: "insert", Key: keyOf(t, 2)}, // which was deleted again
	} {
		c.Database, c.Collection, c.Stripped, c.ClusterTime.T, c.Wall = "legacy", "users", true, uint32(100+i), time.Now()
		ack, err := p.Handle(w.ctx, c)
		if err == nil && ack != nil {
			err = ack(w.ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	key := id(1).Hex()
	updated := `user.profile-updated {"userId":"` + key + `","name":"Ada","bio":"","version":3}`
	want := []string{
		`user.joined {"userId":"` + key + `","name":"Ada","joinedAt":"1970-01-01T00:00:00Z"}`,
		updated, updated,
		`user.left {"userId":"` + key + `"}`,
	}
	if diff := cmp.Diff(want, facts(w.kept()[key])); diff != "" {
		t.Error(diff)
	}
	if st := p.Status(); st.Skipped != 1 || st.Refused != 0 {
		t.Errorf("%+v, want that the deleted one is skipped", st)
	}
}

func keyOf(t *testing.T, n int) bson.Raw {
	t.Helper()
	raw, err := bson.Marshal(doc("_id", id(n)))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
