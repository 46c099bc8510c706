package recommend

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Suggestion is somebody whom a user may want to connect with.
type Suggestion struct {
	ID string
	// Shared is how many of the user's connections are connected with them, of those that
	// were looked at.
	Shared int
}

// compare puts the best first.
func (s Suggestion) compare(o Suggestion) int {
	return cmp.Or(cmp.Compare(o.Shared, s.Shared), cmp.Compare(s.ID, o.ID))
}

// graph is the connections of the users who have not left.
type graph interface {
	// connections lists up to limit connections of a user, the same ones each time. more says
	// that there may be others.
	connections(ctx context.Context, user string, limit int) (ids []string, more bool, err error)
	// without leaves out those of the candidates who left, and, where connected is set, who
	// are connected with the user.
	without(ctx context.Context, user string, candidates []string, connected bool) ([]string, error)
}

// bounds of a derivation, see Config.
type bounds struct{ breadth, depth, keep, concurrency int }

// suggest derives the list of a user: highest count first, then by id.
func suggest(ctx context.Context, g graph, user string, b bounds) ([]Suggestion, error) {
	own, more, err := g.connections(ctx, user, b.breadth)
	if err != nil {
		return nil, err
	}
	counts, err := count(ctx, g, own, b)
	if err != nil {
		return nil, err
	}
	delete(counts, user)
	for _, id := range own {
		delete(counts, id)
	}
	ranked := slices.SortedFunc(maps.Keys(counts), func(x, y string) int {
		return cmp.Or(cmp.Compare(counts[y], counts[x]), cmp.Compare(x, y))
	})
	kept, err := g.without(ctx, user, ranked[:min(len(ranked), 2*b.keep)], more)
	if err != nil {
		return nil, err
	}
	list := make([]Suggestion, 0, b.keep)
	for _, id := range kept[:min(len(kept), b.keep)] {
		list = append(list, Suggestion{id, counts[id]})
	}
	return list, nil
}

// count is how many of the users are connected with whom.
func count(ctx context.Context, g graph, users []string, b bounds) (map[string]int, error) {
	var mu sync.Mutex
	counts := map[string]int{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(b.concurrency)
	for _, user := range users {
		group.Go(func() error {
			theirs, _, err := g.connections(ctx, user, b.depth)
			mu.Lock()
			defer mu.Unlock()
			for _, id := range theirs {
				counts[id]++
			}
			return err
		})
	}
	return counts, group.Wait()
}
