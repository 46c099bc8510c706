package users_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/services/social/users/userstest"
)

// TestOldDocuments: documents of former years lack fields, or have them in other types; a change
// leaves alone what it is not about.
func TestOldDocuments(t *testing.T) {
	a := newAPI(t, ownership.MongoDB)
	for name, fields := range map[string]bson.D{
		"bare":        {},
		"null":        {{Key: "version", Value: nil}, {Key: "bio", Value: nil}},
		"other types": {{Key: "version", Value: int32(0)}, {Key: "bio", Value: 3}, {Key: "createdAt", Value: "yesterday"}, {Key: "name", Value: 7.5}},
	} {
		id := bson.NewObjectIDFromTimestamp(userstest.ID(ned).Timestamp())
		doc := append(bson.D{{Key: "_id", Value: id}, {Key: "email", Value: name + "@x.y"}, {Key: "age", Value: int32(3)}}, fields...)
		if _, err := a.db.Collection("users").InsertOne(t.Context(), doc); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf(`{"id":%q,"name":"","email":%q,"bio":"","version":0,"createdAt":"2017-09-13T21:05:56.000Z"}`, id.Hex(), name+"@x.y")
		if res, body := a.do(request{method: "GET", path: "/v1/users/" + id.Hex()}); res.StatusCode != 200 || strings.TrimSpace(body) != want {
			t.Errorf("%s: %d %s, want %s", name, res.StatusCode, body, want)
		}
		if res, body := a.do(patch(id.Hex(), `{"bio":"B"}`, `"0"`)); res.StatusCode != 200 || !strings.Contains(body, `"bio":"B","version":1`) {
			t.Errorf("%s: change: %d %s", name, res.StatusCode, body)
		}
		raw, err := a.db.Collection("users").FindOne(t.Context(), bson.D{{Key: "_id", Value: id}}).Raw()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range append(bson.D{{Key: "age", Value: int32(3)}}, fields...) {
			if f.Key == "version" || f.Key == "bio" {
				continue
			}
			kind, value, _ := bson.MarshalValue(f.Value)
			if !raw.Lookup(f.Key).Equal(bson.RawValue{Type: kind, Value: value}) {
				t.Errorf("%s: the change of another field made %s %v", name, f.Key, raw.Lookup(f.Key))
			}
		}
	}
}

// TestStoredForm: what other programs read in either database.
func TestStoredForm(t *testing.T) {
	for _, owner := range []ownership.Store{ownership.MongoDB, ownership.DynamoDB} {
		tables, stream, db := userstest.Dynamo(t), userstest.NewStream(t), userstest.Mongo(t)
		if owner == ownership.DynamoDB {
			userstest.Tables(t, tables)
			own(t, ownership.NewTable(tables, ""))
		}
		at := userstest.NewInstance(t, db, tables, stream.Publisher)
		req := httptest.NewRequestWithContext(t.Context(), "PUT", "/v1/users/"+ned, strings.NewReader(nedBody))
		req.Header.Set("Content-Type", "application/json")
		rec := httptest.NewRecorder()
		at.Handler.ServeHTTP(rec, req)
		if rec.Code != 201 {
			t.Fatalf("%s: %d %s", owner, rec.Code, rec.Body)
		}
		if owner == ownership.MongoDB {
			raw, err := db.Collection("users").FindOne(t.Context(), bson.D{}).Raw()
			if err != nil {
				t.Fatal(err)
			}
			elements, _ := raw.Elements()
			form := ""
			for _, e := range elements {
				if !strings.HasPrefix(e.Key(), "_outbox") {
					form += fmt.Sprint(e.Key(), ":", e.Value().Type, " ")
				}
			}
			if form != "_id:objectID name:string email:string password:string version:64-bit integer createdAt:UTC datetime " {
				t.Errorf("the document has %s", form)
			}
			continue
		}
		out, err := tables.GetItem(t.Context(), &awsdynamodb.GetItemInput{TableName: aws.String("users"),
			Key: map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: ned}}})
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{"id": ned, "name": "Ned", "email": "ned@x.y", "createdAt": "2020-01-02T03:04:05.006Z"} {
			if s, ok := out.Item[name].(*types.AttributeValueMemberS); !ok || s.Value != want {
				t.Errorf("%s of the item is %v, want %s", name, out.Item[name], want)
			}
		}
		if n, ok := out.Item["version"].(*types.AttributeValueMemberN); !ok || n.Value != "1" || len(out.Item) != 7 {
			t.Errorf("the item is %v", out.Item)
		}
	}
}
