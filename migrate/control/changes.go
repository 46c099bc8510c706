package control

import (
	"context"
	"errors"
	"time"

	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
)

// Changes is the state of the changes: which worker follows them, and how far it has come.
type Changes struct {
	Row
	Worker string            `dynamodbav:"worker"` // "" while nobody follows
	Epoch  int64             `dynamodbav:"epoch"`  // in which they are followed; 0 before they were first followed
	Start  stamp.ClusterTime `dynamodbav:"start"`  // followed from here while Token is empty
	Token  []byte            `dynamodbav:"token"`
	// Invalidated says that Token is that of an invalidation: resume behind it.
	Invalidated bool              `dynamodbav:"invalidated"`
	Applied     stamp.ClusterTime `dynamodbav:"applied"`  // everything up to this source time is in the target
	CaughtUp    time.Time         `dynamodbav:"caughtUp"` // when the stream last held nothing more
	SavedAt     time.Time         `dynamodbav:"savedAt"`
	Events      int64             `dynamodbav:"events"`
	Barriers    []string          `dynamodbav:"barriers"` // the last ones passed
	OutOfBand   OutOfBandWrites   `dynamodbav:"outOfBand"`
	Strays      OutOfBandWrites   `dynamodbav:"strays"`
	Error       string            `dynamodbav:"error"` // why following stopped
	// Collection is the name that the collection has at the position.
	Collection string `dynamodbav:"collection"`
}

// OutOfBandWrites sums up writes that are not the service's: updates that did not set the
// plan's versionField, or, as strays, writes under a name that the collection had left.
type OutOfBandWrites struct {
	Writes int64     `dynamodbav:"writes" json:"writes"`
	LastID string    `dynamodbav:"lastId" json:"lastId,omitempty"`
	LastAt time.Time `dynamodbav:"lastAt" json:"lastAt,omitzero"`
}

const changesKey = "changes"

// Changes loads the state of the changes, the zero one before they were first followed.
func (s *Store) Changes(ctx context.Context) (*Changes, error) {
	c := &Changes{}
	_, err := s.load(ctx, changesKey, c)
	return c, err
}

// RestartChanges sets the position to start, when the collection has the given name, for
// an epoch. The process that follows the changes notices at its next save.
func (s *Store) RestartChanges(ctx context.Context, epoch int64, start stamp.ClusterTime, collection string) error {
	for {
		c, err := s.Changes(ctx)
		if err != nil {
			return err
		}
		c.Restart(epoch, start, collection)
		if err := s.Save(ctx, c); !errors.Is(err, ErrConflict) {
			return err
		}
	}
}

// Restart sets the position to start, when the collection has the given name, for an epoch.
func (c *Changes) Restart(epoch int64, start stamp.ClusterTime, collection string) {
	*c = Changes{Row: c.Row, Epoch: epoch, Start: start, Collection: collection, OutOfBand: c.OutOfBand}
}

// Following is what status and progress show of the changes.
type Following struct {
	Followed  bool            `json:"followed"` // a process is following
	Applied   uint64          `json:"appliedUpTo"`
	Lag       time.Duration   `json:"lagNanoseconds"` // negative while unknown
	Events    int64           `json:"events"`
	OutOfBand OutOfBandWrites `json:"outOfBand"`
	Strays    OutOfBandWrites `json:"strays"`
	Error     string          `json:"error,omitempty"`
}

// Following sums the state up as of now.
func (c *Changes) Following(now time.Time) Following {
	f := Following{Followed: c.Worker != "", Applied: uint64(c.Applied), Lag: -1, Events: c.Events, OutOfBand: c.OutOfBand,
		Strays: c.Strays, Error: c.Error}
	if !c.CaughtUp.IsZero() {
		f.Lag = max(0, now.Sub(c.CaughtUp))
	}
	return f
}
