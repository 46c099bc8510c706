package changestream_test

import (
	"encoding/json"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/publishers/changestream"
)

// A mapping by a file: every rule that is about a change makes an event.
func ExampleParseMapping() {
	mapping, err := changestream.ParseMapping("users.yaml", []byte(`
version: 1
collections:
  users:
    - on: insert
      event: user.joined
      subject: user/{_id}
      data:
        userId: {field: _id, as: text}
        name: name
        joinedAt: {field: createdAt, as: time, default: "1970-01-01T00:00:00Z"}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	key, _ := bson.Marshal(bson.D{{Key: "_id", Value: 7}})
	user, _ := bson.Marshal(bson.D{{Key: "_id", Value: 7}, {Key: "name", Value: "Ada"}})
	made, err := mapping.Collections["users"](changestream.Change{Operation: "insert", Key: key, Full: user})
	fmt.Println(made[0].Type, made[0].Subject, string(made[0].Data), err)
	// Output: user.joined user/7 {"userId":"7","name":"Ada","joinedAt":"1970-01-01T00:00:00Z"} <nil>
}

// A mapping by a function: for what fields alone cannot say.
func ExampleFunc() {
	relationships := func(c changestream.Change) ([]events.Event, error) {
		var follows struct {
			ID   string `bson:"_id"`
			From string
			To   string
		}
		if c.Operation != "insert" {
			return nil, nil // nobody's concern
		}
		if err := bson.Unmarshal(c.Full, &follows); err != nil {
			return nil, err // a dead letter
		}
		if follows.From == follows.To {
			return nil, errors.Join(changestream.ErrSkip, errors.New("follows itself"))
		}
		data, err := json.Marshal(map[string]string{"followerId": follows.From, "followeeId": follows.To})
		return []events.Event{{Type: "relationship.followed", Version: 1, PartitionKey: follows.From, Data: data}}, err
	}
	mapping := &changestream.Mapping{Collections: map[string]changestream.Func{"relationships": relationships}}
	fmt.Println(mapping.Validate())
	// Output: <nil>
}
