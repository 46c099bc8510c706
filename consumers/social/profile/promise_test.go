package profile_test

import (
	"encoding/json"
	"testing"

	awsevents "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/deadletter"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/social/profile"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
)

// TestBrokenPromisesBecomeDeadLetters: an event whose payload lacks an id, or
// names another partition key than its envelope, writes no item.
func TestBrokenPromisesBecomeDeadLetters(t *testing.T) {
	joined := social.UserJoined{UserID: ada, Name: "Ada", JoinedAt: streamtest.Start}
	written := social.PostPublished{PostID: "p", AuthorID: ada}
	for name, broken := range map[string]struct {
		payload events.Payload
		data    string // instead of the payload's
	}{
		"empty id":                        {joined, `{"userId":"","name":"Ada","joinedAt":"2016-11-21T12:00:00Z"}`},
		"no id":                           {joined, `{"name":"Ada","joinedAt":"2016-11-21T12:00:00Z"}`},
		"id is null":                      {joined, `{"userId":null,"name":"Ada","joinedAt":"2016-11-21T12:00:00Z"}`},
		"another user's partition key":    {joined, `{"userId":"bob","name":"Ada","joinedAt":"2016-11-21T12:00:00Z"}`},
		"no name":                         {joined, `{"userId":"ada","joinedAt":"2016-11-21T12:00:00Z"}`},
		"update of another user":          {updated(1, "Ada"), `{"userId":"bob","name":"x","bio":"","version":1}`},
		"update without a version":        {updated(1, "Ada"), `{"userId":"ada","name":"x","bio":""}`},
		"follow of nobody":                {followed(ada, bob), `{"followerId":"ada","followeeId":"","at":"2016-11-21T12:00:00Z"}`},
		"follow by another user":          {followed(ada, bob), `{"followerId":"bob","followeeId":"ada","at":"2016-11-21T12:00:00Z"}`},
		"unfollow of nobody":              {unfollowed(ada, bob), `{"followerId":"ada","at":"2016-11-21T12:00:00Z"}`},
		"a post without an id":            {written, `{"postId":"","authorId":"ada","text":"","publishedAt":"2016-11-21T12:00:00Z"}`},
		"a post of another user":          {written, `{"postId":"p","authorId":"bob","text":"","publishedAt":"2016-11-21T12:00:00Z"}`},
		"members of the right name, null": {updated(1, "Ada"), `{"userId":"ada","name":null,"bio":"","version":1}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := streamtest.NewDynamoDB(t)
			table := db.CreateTable(profile.TableInput)
			model, err := profile.New(profile.Config{Client: db.Client(nil), Table: table})
			if err != nil {
				t.Fatal(err)
			}
			letters := deadletter.New(db.Client(nil), db.CreateTable(deadletter.TableInput))
			c, err := consumers.New(consumers.Config{Name: "profile", DeadLetters: letters, Attempts: 1, Handler: model.Handle})
			if err != nil {
				t.Fatal(err)
			}
			e := streamtest.Event(t, broken.payload)
			e.Data = json.RawMessage(broken.data)
			out, err := c.HandleKinesis(t.Context(), awsevents.KinesisEvent{
				Records: []awsevents.KinesisEventRecord{streamtest.Record(1, ada, streamtest.Data(t, e))},
			})
			if err != nil || len(out.BatchItemFailures) != 0 {
				t.Fatalf("reported %v, %v", out.BatchItemFailures, err)
			}
			page, err := letters.List(t.Context(), "profile", deadletter.ListOptions{})
			if err != nil || len(page.Letters) != 1 {
				t.Errorf("%d dead letters, want 1 (%v)", len(page.Letters), err)
			}
			items, err := db.Client(nil).Scan(t.Context(), &dynamodb.ScanInput{TableName: &table})
			if err != nil || len(items.Items) != 0 {
				t.Errorf("phantom items %v, %v", items.Items, err)
			}
		})
	}
}
