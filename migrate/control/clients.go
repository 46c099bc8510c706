package control

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/banyan-fig/banyan/migrate/internal/retry"
)

// Client is somebody other than the owning service and the migration who used the
// entity's collection: by which name, what for, and when. Counts are of what was seen.
type Client struct {
	Application string    `dynamodbav:"application" json:"application"` // as it calls itself; may be ""
	User        string    `dynamodbav:"user" json:"user,omitempty"`
	Address     string    `dynamodbav:"address" json:"address"`              // without the port
	Namespace   string    `dynamodbav:"namespace" json:"namespace"`          // database and name of the collection
	Reads       int64     `dynamodbav:"reads" json:"reads"`                  // of any kind
	Writes      int64     `dynamodbav:"writes" json:"writes"`                // that the server took, indexes and options too
	Refused     int64     `dynamodbav:"refused" json:"refused"`              // writes to a view, which failed
	Command     string    `dynamodbav:"command" json:"command"`              // the last one
	Server      string    `dynamodbav:"server" json:"server"`                // where that was seen
	Evidence    string    `dynamodbav:"evidence" json:"evidence"`            // by what: profiler or currentOp
	LastSeen    time.Time `dynamodbav:"lastSeen" json:"lastSeen"`            // the last use of any kind
	LastWrite   time.Time `dynamodbav:"lastWrite" json:"lastWrite,omitzero"` // the last one that the server took
}

// Same reports whether both are one client under one name of the collection.
func (c *Client) Same(other *Client) bool {
	return c.Application == other.Application && c.User == other.User && c.Address == other.Address && c.Namespace == other.Namespace
}

// Add adds what was seen of the same client.
func (c *Client) Add(more *Client) {
	c.Reads, c.Writes, c.Refused = c.Reads+more.Reads, c.Writes+more.Writes, c.Refused+more.Refused
	if !more.LastSeen.Before(c.LastSeen) {
		c.Command, c.Server, c.Evidence, c.LastSeen = more.Command, more.Server, more.Evidence, more.LastSeen
	}
	if more.LastWrite.After(c.LastWrite) {
		c.LastWrite = more.LastWrite
	}
}

// AddClient adds what was seen of a client to a list.
func AddClient(all []Client, seen Client) []Client {
	if i := slices.IndexFunc(all, func(c Client) bool { return c.Same(&seen) }); i >= 0 {
		all[i].Add(&seen)
		return all
	}
	return append(all, seen)
}

// clients is the row with everybody who was seen, the last ones first.
type clients struct {
	Row
	All []Client `dynamodbav:"all"`
}

const (
	clientsKey  = "clients"
	maxClients  = 500 // who was not seen for longest is forgotten
	clientsKept = 7 * 24 * time.Hour
)

// Clients loads who was seen, the last ones first.
func (s *Store) Clients(ctx context.Context) ([]Client, error) {
	row := &clients{}
	_, err := s.load(ctx, clientsKey, row)
	return row.All, err
}

// AddClients stores who was seen, and returns all who were, the last ones first.
func (s *Store) AddClients(ctx context.Context, seen []Client) ([]Client, error) {
	for i := 0; ; i++ {
		row := &clients{}
		if _, err := s.load(ctx, clientsKey, row); err != nil || len(seen) == 0 {
			return row.All, err
		}
		for _, c := range seen {
			row.All = AddClient(row.All, c)
		}
		old := time.Now().Add(-clientsKept)
		row.All = slices.DeleteFunc(row.All, func(c Client) bool { return c.LastSeen.Before(old) })
		slices.SortFunc(row.All, func(a, b Client) int {
			return cmp.Or(b.LastSeen.Compare(a.LastSeen), cmp.Compare(a.Application, b.Application), cmp.Compare(a.Address, b.Address))
		})
		row.All = row.All[:min(len(row.All), maxClients)]
		err := s.Save(ctx, row)
		if !errors.Is(err, ErrConflict) || i > 50 {
			return row.All, err
		}
		if err := retry.Wait(ctx, min(i, 3)); err != nil {
			return nil, err
		}
	}
}
