package changestream_test

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

const usersMapping = `
version: 1
source: /legacy/users
collections:
  users:
    - on: insert
      event: user.joined
      subject: user/{_id}
      correlation: request
      data:
        userId: _id
        name: {field: name, as: text}
        joinedAt: {field: createdAt, as: time, default: "1970-01-01T00:00:00Z"}
    - on: [update, replace, snapshot]
      when:
        - changed: [name, bio]
      event: user.profile-updated
      subject: user/{_id}
      correlation: request
      data:
        userId: _id
        name: name
        bio: {field: bio, default: ""}
        version: {field: version, as: integer, default: 0}
    - on: delete
      event: user.left
      subject: user/{_id}
      data:
        userId: _id
        name: {field: name, of: before, missing: omit}
`

func id(n int) bson.ObjectID {
	return bson.ObjectID{11: byte(n), 10: byte(n >> 8)}
}

func set(pairs ...any) bson.D {
	d := bson.D{}
	for i := 0; i < len(pairs); i += 2 {
		d = append(d, bson.E{Key: pairs[i].(string), Value: pairs[i+1]})
	}
	return d
}

func TestPublishesWhatHappens(t *testing.T) {
	w := newWorld(t, 1)
	p, stop := w.publisher(w.config(parse(t, usersMapping)))
	w.do(w.users.InsertOne(w.ctx, set("_id", id(1), "name", "Ada", "request", "r-1")))
	w.do(w.users.UpdateByID(w.ctx, id(1), set("$set", set("name", "Ada L.", "version", 2.0))))
	w.do(w.users.UpdateByID(w.ctx, id(1), set("$set", set("seen", 5))))
	w.do(w.users.DeleteOne(w.ctx, set("_id", id(1))))
	w.do(w.db.Collection("others").InsertOne(w.ctx, set("_id", 1)))
	waitFor(t, "three events", func() bool { return p.Status().Published == 3 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for key, list := range w.kept() {
		for _, e := range list {
			t.Log(key, e.ID, e.Type, e.Sequence, e.Subject, e.CorrelationID, e.TraceParent, string(e.Data))
		}
	}
	t.Logf("%+v", p.Status())
}
