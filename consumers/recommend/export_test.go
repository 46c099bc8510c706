package recommend

import "context"

// Graph is a graph for tests outside of the package.
type Graph interface {
	Connections(user string, limit int) (ids []string, more bool)
	Connected(user, other string) bool
}

type testGraph struct{ Graph }

func (g testGraph) connections(_ context.Context, user string, limit int) ([]string, bool, error) {
	ids, more := g.Connections(user, limit)
	return ids, more, nil
}

func (g testGraph) without(_ context.Context, user string, candidates []string, _ bool) (kept []string, _ error) {
	for _, id := range candidates {
		if !g.Connected(user, id) {
			kept = append(kept, id)
		}
	}
	return kept, nil
}

// Suggest derives a list with bounds.
func Suggest(ctx context.Context, g Graph, user string, breadth, depth, keep int) ([]Suggestion, error) {
	return suggest(ctx, testGraph{g}, user, bounds{breadth, depth, keep, 1})
}

// Sample is the hash that orders the connections of a user.
func Sample(words ...string) string { return sample(words...) }
