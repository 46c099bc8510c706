package ownership_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"sync"

	"github.com/aws/aws-sdk-go-v2/credentials"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

// store is one of the two stores of a service. A real one is refused by the database
// itself where it does not own the entity: in MongoDB by the view, in DynamoDB by the
// epoch on the item. It then returns ownership.ErrFenced.
type store struct {
	name   string
	mu     sync.Mutex
	fenced bool
}

func (s *store) Put(_ context.Context, epoch int64, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fenced {
		return fmt.Errorf("put %s: %w", id, ownership.ErrFenced)
	}
	fmt.Printf("%s has %s, epoch %d\n", s.name, id, epoch)
	return nil
}

// A service chooses its store by the grant, for each operation, and by nothing else.
func Example() {
	server := httptest.NewServer(dynamodb.New(dynamodb.Config{}))
	defer server.Close()
	client := awsdynamodb.New(awsdynamodb.Options{
		Region: "us-east-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	})
	ctx := context.Background()
	table := ownership.NewTable(client, ownership.DefaultTable)
	if err := table.Ensure(ctx); err != nil {
		fmt.Println(err)
		return
	}
	member, err := ownership.Join(ctx, ownership.MemberConfig{Table: table, Entity: "theaters", Service: "theaters"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = member.Leave(ctx) }()

	old, next := &store{name: "MongoDB"}, &store{name: "DynamoDB"}
	put := func(id string) error {
		return member.Write(ctx, func(ctx context.Context, grant ownership.Grant) error {
			if grant.Owner == ownership.DynamoDB {
				return next.Put(ctx, grant.Epoch, id)
			}
			return old.Put(ctx, grant.Epoch, id)
		})
	}
	fmt.Println(put("a"))

	// What `banyan-migrate cutover` does, less the care. A grant from before it is of no
	// use: the store refuses the write, and it runs again under the new one.
	old.mu.Lock()
	old.fenced = true
	old.mu.Unlock()
	record, err := table.Load(ctx, "theaters")
	if err == nil {
		_, err = table.Update(ctx, record, func(r *ownership.Record) {
			r.Owner, r.Epoch, r.Phase = ownership.DynamoDB, r.Epoch+1, ownership.Switched
		})
	}
	if err = errors.Join(err, put("b")); err != nil {
		fmt.Println(err)
	}
	// Output:
	// MongoDB has a, epoch 1
	// <nil>
	// DynamoDB has b, epoch 2
}
