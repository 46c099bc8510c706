package preflight

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/migrate/plan"
)

// How much of the profiler's window is looked at, and how many kinds of queries are told.
const (
	maxProfiled = 5000
	maxShapes   = 50
)

// shape is a kind of query: the fields that it compares, and how.
type shape struct {
	equal, ranged, other, sorted []string
}

func (s shape) String() string {
	text := "{" + strings.Join(s.equal, ", ") + "}"
	for _, part := range []struct {
		how    string
		fields []string
	}{{"range of", s.ranged}, {"other tests of", s.other}, {"sorted by", s.sorted}} {
		if len(part.fields) > 0 {
			text += " " + part.how + " {" + strings.Join(part.fields, ", ") + "}"
		}
	}
	return text
}

// askQueries says of each kind of query in the profiler's window by what the table answers it.
// A profiler that is off has none, and one that may not be read is not asked about.
func (w *world) askQueries(ctx context.Context) ([]Finding, error) {
	if !w.source.readable() {
		return nil, nil
	}
	names := bson.A{w.namespace(w.source.Name), w.namespace(w.Plan.Source.Collection)}
	cur, err := w.db.Collection("system.profile").Find(ctx, bson.D{{Key: "ns", Value: bson.D{{Key: "$in", Value: names}}}},
		options.Find().SetSort(bson.D{{Key: "ts", Value: -1}}).SetLimit(maxProfiled))
	if err != nil {
		return nil, nil
	}
	defer func() { _ = cur.Close(ctx) }()
	seen, shapes := map[string]int{}, map[string]shape{}
	for cur.Next(ctx) {
		command, _ := cur.Current.Lookup("command").DocumentOK()
		for _, filter := range filtersOf(command) {
			s := shapeOf(filter, command)
			seen[s.String()]++
			shapes[s.String()] = s
		}
	}
	var found []Finding
	for _, name := range slices.SortedFunc(maps.Keys(shapes), func(a, b string) int {
		if seen[a] != seen[b] {
			return seen[b] - seen[a]
		}
		return strings.Compare(a, b)
	}) {
		if len(found) == maxShapes {
			break
		}
		found = append(found, w.queryFinding(name, shapes[name], seen[name]))
	}
	return found, nil
}

func (w *world) queryFinding(name string, s shape, times int) Finding {
	what := fmt.Sprintf("queries %s, %d in the profiler's window, ", name, times)
	by, rest := w.Plan.Answers(plan.Access{Equal: s.equal, Sorted: slices.Concat(s.ranged, s.sorted)})
	rest = append(rest, s.other...)
	switch {
	case by == "":
		return told("query:"+name, what+"are not answered by the table's key or an index", "they would scan the table",
			"declare an index in the plan whose key begins with a field of which they name one value")
	case len(rest) > 0:
		return told("query:"+name, what+"are answered by "+by, strings.Join(rest, ", ")+" can only filter or sort what was read, and paid for", "")
	}
	return told("query:"+name, what+"are answered by "+by, "", "")
}

// filtersOf are the filters of a command as the profiler keeps it.
func filtersOf(command bson.Raw) []bson.Raw {
	var all []bson.Raw
	for _, path := range [][]string{{"filter"}, {"query"}, {"q"}, {"pipeline", "0", "$match"}} {
		if filter, ok := command.Lookup(path...).DocumentOK(); ok {
			all = append(all, filter)
		}
	}
	return all
}

// shapeOf sorts the fields of a filter by what is asked of them.
func shapeOf(filter, command bson.Raw) shape {
	var s shape
	elements, _ := filter.Elements()
	for _, e := range elements {
		switch kind := comparison(e.Value()); {
		case strings.HasPrefix(e.Key(), "$"), strings.Contains(strings.TrimPrefix(e.Key(), "_id."), "."):
			s.other = append(s.other, e.Key())
		case kind == "equal":
			s.equal = append(s.equal, e.Key())
		case kind == "range":
			s.ranged = append(s.ranged, e.Key())
		default:
			s.other = append(s.other, e.Key())
		}
	}
	order, _ := command.Lookup("sort").DocumentOK()
	sorted, _ := order.Elements()
	for _, e := range sorted {
		s.sorted = append(s.sorted, e.Key())
	}
	slices.Sort(s.equal)
	slices.Sort(s.ranged)
	slices.Sort(s.other)
	return s
}

// comparison is what a condition on a field compares: "equal", "range" or "".
func comparison(v bson.RawValue) string {
	condition, ok := v.DocumentOK()
	if !ok {
		if v.Type == bson.TypeRegex {
			return ""
		}
		return "equal"
	}
	elements, err := condition.Elements()
	if err != nil || len(elements) == 0 || !strings.HasPrefix(elements[0].Key(), "$") {
		return "equal" // a document
	}
	kind := ""
	for _, e := range elements {
		switch e.Key() {
		case "$eq", "$in":
			kind = "equal"
		case "$gt", "$gte", "$lt", "$lte":
			if kind == "" {
				kind = "range"
			}
		default:
			return ""
		}
	}
	return kind
}
