package control

import (
	"context"
	"errors"
	"time"

	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
)

// Verification is what one verification covered, as of when, and what it found.
type Verification struct {
	Row
	ID string `dynamodbav:"id" json:"id"` // their text order is their order in time
	// Epoch is the one in which it was made: in those of MongoDB's the documents were taken
	// for right, in those of DynamoDB's the items.
	Epoch      int64     `dynamodbav:"epoch" json:"epoch"`
	StartedAt  time.Time `dynamodbav:"startedAt" json:"startedAt"`
	FinishedAt time.Time `dynamodbav:"finishedAt" json:"finishedAt"`
	// AsOf is the source's cluster time: what has not changed since was compared.
	AsOf       stamp.ClusterTime `dynamodbav:"asOf" json:"asOf"`
	Token      []byte            `dynamodbav:"token" json:"-"` // of the change stream, at AsOf
	Place      []byte            `dynamodbav:"place" json:"-"` // of the table's stream then, in an epoch of DynamoDB's
	Generation int64             `dynamodbav:"generation" json:"generation"`
	Covered    string            `dynamodbav:"covered" json:"covered"` // "whole"
	// What it is of: the plan's digest, the collection's UUID, and its name at AsOf.
	Plan       string `dynamodbav:"plan" json:"plan"`
	UUID       string `dynamodbav:"uuid" json:"collectionUUID"`
	Collection string `dynamodbav:"collection" json:"collection"`
	Changed    int64  `dynamodbav:"changed" json:"-"` // of the job at the beginning
	Counts
}

// Counts are what a verification, or a part of it, has found.
type Counts struct {
	Documents  int64 `dynamodbav:"documents" json:"documents"`
	Items      int64 `dynamodbav:"items" json:"items"`
	Tombstones int64 `dynamodbav:"tombstones" json:"tombstones"`
	Unique     int64 `dynamodbav:"unique" json:"uniqueEntries"`
	Rechecked  int64 `dynamodbav:"rechecked" json:"rechecked"` // differed at first, perhaps only in flight
	// Moving counts the documents that changed too often to be compared; a cut-over
	// compares them, as all that changed since.
	Moving     int64 `dynamodbav:"moving" json:"moving"`
	Mismatches int64 `dynamodbav:"mismatches" json:"mismatches"`
	Repaired   int64 `dynamodbav:"repaired" json:"repaired"`
}

// IsOf reports whether it is of the copy that a job has, in an epoch, and nothing has happened to
// the collection as a whole since it began.
func (v *Verification) IsOf(j *Job, epoch int64) bool {
	return v.Epoch == epoch && v.Generation == j.Generation && v.Changed == j.Changed
}

// clockSlack is how far ahead the clock of the machine that verified may have been.
const clockSlack = 5 * time.Second

// Add adds what another part of the verification has found.
func (v *Counts) Add(part Counts) {
	v.Documents += part.Documents
	v.Items += part.Items
	v.Tombstones += part.Tombstones
	v.Unique += part.Unique
	v.Rechecked += part.Rechecked
	v.Moving += part.Moving
	v.Mismatches += part.Mismatches
	v.Repaired += part.Repaired
}

// IsAhead reports whether it is dated in the future: then nobody knows how old it is, and it
// does not count.
func (v *Verification) IsAhead(now time.Time) bool { return v.FinishedAt.Sub(now) > clockSlack }

const verificationPrefix = "verification#"

// keptVerifications is how many verifications are kept in the control table.
const keptVerifications = 10

// AddVerification stores a verification, unless another process has, and returns it as it is
// stored. It deletes the oldest ones.
func (s *Store) AddVerification(ctx context.Context, v Verification) (Verification, error) {
	v.Row = Row{PK: s.pk, SK: verificationPrefix + v.ID}
	switch err := s.Save(ctx, &v); {
	case errors.Is(err, ErrConflict):
		_, err = s.load(ctx, v.SK, &v)
		return v, err
	case err != nil:
		return v, err
	}
	return v, s.keepVerifications(ctx, keptVerifications)
}

// keepVerifications deletes all but the newest n.
func (s *Store) keepVerifications(ctx context.Context, n int) error {
	all, err := list[Verification](ctx, s, verificationPrefix)
	if err != nil {
		return err
	}
	for i := range max(0, len(all)-n) {
		if err := s.remove(ctx, &all[i]); err != nil {
			return err
		}
	}
	return nil
}

// LastVerification is the newest one, nil if there is none.
func (s *Store) LastVerification(ctx context.Context) (*Verification, error) {
	all, err := list[Verification](ctx, s, verificationPrefix)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[len(all)-1], nil
}
