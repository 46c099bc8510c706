package timeline_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/social/timeline"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
)

// meter adds up the read units that a reader consumes.
type meter struct {
	*dynamodb.Client

	mu       sync.Mutex
	units    float64
	requests int
}

func (m *meter) add(all ...types.ConsumedCapacity) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests++
	for _, c := range all {
		m.units += aws.ToFloat64(c.CapacityUnits)
	}
}

func (m *meter) GetItem(ctx context.Context, in *dynamodb.GetItemInput, o ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	in.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
	out, err := m.Client.GetItem(ctx, in, o...)
	if err == nil {
		m.add(*out.ConsumedCapacity)
	}
	return out, err
}

func (m *meter) Query(ctx context.Context, in *dynamodb.QueryInput, o ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	in.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
	out, err := m.Client.Query(ctx, in, o...)
	if err == nil {
		m.add(*out.ConsumedCapacity)
	}
	return out, err
}

func (m *meter) BatchGetItem(ctx context.Context, in *dynamodb.BatchGetItemInput, o ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error) {
	in.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
	out, err := m.Client.BatchGetItem(ctx, in, o...)
	if err == nil {
		m.add(out.ConsumedCapacity...)
	}
	return out, err
}

func longID(kind string, n int) string { return fmt.Sprintf("%s-%031x", kind, n) }

// TestPageCosts: what a page of 20 posts costs at most in each of the cases of the package
// comment, with ids as long as a UUID, by what DynamoDB says it consumed.
func TestPageCosts(t *testing.T) {
	for _, c := range []struct {
		name     string
		authors  int
		text     int // bytes
		deleted  int // posts of each author, after as many more
		celebs   bool
		units    float64
		requests int
	}{
		{name: "one author", authors: 1, text: 140, units: 3.5, requests: 3},
		{name: "eight authors", authors: 8, text: 140, units: 7, requests: 3},
		{name: "an author for each post", authors: 21, text: 140, units: 13.5, requests: 3},
		{name: "the longest texts within entries", authors: 21, text: 512, units: 15.5, requests: 3},
		{name: "texts that are looked up", authors: 21, text: 2000, units: 33.5, requests: 4},
		{name: "authors who deleted more than is listed", authors: 1, text: 140, deleted: 60, units: 24.5, requests: 4},
		{name: "as many celebrities as are mixed in", authors: timeline.MaxCelebrities, text: 140, celebs: true, units: 38.5, requests: 53},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := timeline.Config{}
			if c.celebs {
				cfg.Threshold = 1
			}
			tb, n := newTableWith(t, cfg), 1
			user := longID("user", 1000)
			apply := func(p ...events.Payload) {
				tb.apply(n, p...)
				n += len(p)
			}
			publish := func(i int) {
				apply(social.PostPublished{PostID: longID("post", i), AuthorID: longID("user", i%c.authors),
					Text: strings.Repeat("x", c.text), PublishedAt: streamtest.Start})
			}
			for i := range c.authors {
				apply(social.UserJoined{UserID: longID("user", i), Name: "Somebody with a name", JoinedAt: streamtest.Start},
					followed(user, longID("user", i)), followed(longID("fan", i), longID("user", i)))
			}
			for i := range c.authors * c.deleted {
				publish(i)
				apply(social.PostDeleted{PostID: longID("post", i), AuthorID: longID("user", i%c.authors), At: streamtest.Start})
			}
			for i := range max(30, 2*c.authors) {
				publish(10_000 + i)
			}
			m := &meter{Client: tb.db.Client(nil)}
			p, err := timeline.NewReader(m, tb.name).Read(t.Context(), user, "", 20)
			if err != nil || len(p.Items) != 20 {
				t.Fatalf("%d posts, %v", len(p.Items), err)
			}
			if m.units > c.units || m.requests > c.requests {
				t.Errorf("%v units by %d requests, want %v by %d", m.units, m.requests, c.units, c.requests)
			}
		})
	}
}
