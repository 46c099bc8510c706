package control

import (
	"context"
	"errors"
	"time"
)

// Binding is what a migration is bound to: not names but contents and identities.
type Binding struct {
	Row
	Plan       string          `dynamodbav:"plan"`       // canonical text
	Digest     string          `dynamodbav:"digest"`     // of the plan
	Database   string          `dynamodbav:"database"`   // of the source
	Collection string          `dynamodbav:"collection"` // its public name
	UUID       string          `dynamodbav:"uuid"`       // 32 hexadecimal digits; "" before the binding
	Tables     []TableIdentity `dynamodbav:"tables"`     // of the target; none before they were created
	BoundAt    time.Time       `dynamodbav:"boundAt"`
}

// TableIdentity tells a table from every other that has, had or will have its name.
type TableIdentity struct {
	Table   string    `dynamodbav:"table"`
	ID      string    `dynamodbav:"id"`
	ARN     string    `dynamodbav:"arn"`
	Created time.Time `dynamodbav:"created"`
}

const bindingKey = "binding"

// Binding loads what the migration is bound to, a Binding without UUID for nothing yet.
func (s *Store) Binding(ctx context.Context) (*Binding, error) {
	b := &Binding{}
	_, err := s.load(ctx, bindingKey, b)
	return b, err
}

// UpdateBinding changes the binding. change runs again when another process changed it at
// the same time, and returns false to leave it as it is.
func (s *Store) UpdateBinding(ctx context.Context, change func(*Binding) bool) error {
	for {
		b, err := s.Binding(ctx)
		if err != nil || !change(b) {
			return err
		}
		if err := s.Save(ctx, b); !errors.Is(err, ErrConflict) {
			return err
		}
	}
}
