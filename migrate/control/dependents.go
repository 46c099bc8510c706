package control

import (
	"context"
	"errors"
	"slices"
)

// dependents is the row with the entities whose plans name this one in switchAfter, and that
// have been switched, or were about to be, since.
type dependents struct {
	Row
	Entities []string `dynamodbav:"entities"`
}

const dependentsKey = "dependents"

// Of is the store of another entity's migration in the same control table.
func (s *Store) Of(entity string) *Store { return New(s.client, s.table, entity) }

// Dependents loads the entities that must not be DynamoDB's once this one is MongoDB's again.
func (s *Store) Dependents(ctx context.Context) ([]string, error) {
	row := &dependents{}
	_, err := s.load(ctx, dependentsKey, row)
	return row.Entities, err
}

// AddDependent adds one, before its cut-over is announced. It stays until the migration of this
// entity is cleared.
func (s *Store) AddDependent(ctx context.Context, entity string) error {
	for {
		row := &dependents{}
		if _, err := s.load(ctx, dependentsKey, row); err != nil || slices.Contains(row.Entities, entity) {
			return err
		}
		row.Entities = append(row.Entities, entity)
		if err := s.Save(ctx, row); !errors.Is(err, ErrConflict) {
			return err
		}
	}
}
