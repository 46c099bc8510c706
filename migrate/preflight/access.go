package preflight

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/plan"
)

// indexUses says how often each index of the source was used, as far as the server that
// answers knows; nothing where it may not be asked.
func (w *world) indexUses(ctx context.Context) map[string]string {
	cur, err := w.db.Collection(w.source.Name).Aggregate(ctx, bson.A{bson.D{{Key: "$indexStats", Value: bson.D{}}}})
	if err != nil {
		return nil
	}
	var all []struct {
		Name     string
		Accesses struct {
			Ops   int64
			Since time.Time
		}
	}
	if cur.All(ctx, &all) != nil {
		return nil
	}
	uses := map[string]string{}
	for _, i := range all {
		uses[i.Name] = fmt.Sprintf("%d operations have used it on the primary since %s", i.Accesses.Ops, i.Accesses.Since.UTC().Format(time.RFC3339))
	}
	return uses
}

// accessFinding says by what the table answers the queries that an index of the source is
// for.
func (w *world) accessFinding(i *index, name, what string) Finding {
	const do = "make sure that no query of the owning service needs it"
	lost := "a query by it would be a scan of the table"
	if i.use != "" {
		lost += "; " + i.use
	}
	var fields []string
	for _, e := range i.Key {
		if _, named := e.Value.(string); named || strings.ContainsAny(strings.TrimPrefix(e.Key, "_id."), ".$") {
			return acknowledge(name, what+"is lost", lost, do)
		}
		fields = append(fields, e.Key)
	}
	equal := "for one value of " + fields[0] + " at a time: ranges over it, and sorting by it, are not"
	if last := len(fields) - 1; last > 0 && fields[last] == "_id" { // which decides among equals
		fields = fields[:last]
		equal += "; documents that have the same " + strings.Join(fields, " and ") + " come in an order of the table's own"
	}
	by, rest := w.Plan.Answers(plan.Access{Equal: fields[:1], Sorted: fields[1:]})
	switch {
	case by == "":
		return acknowledge(name, what+"is lost", lost, "declare an index in the plan whose key begins with "+fields[0]+", or "+do)
	case len(rest) > 0:
		means := equal + "; " + strings.Join(rest, ", ") + " can only filter what was read, and paid for"
		if i.use != "" {
			means += "; " + i.use
		}
		return acknowledge(name, what+"is answered in part by "+by, means, do)
	}
	return told(name, what+"is answered by "+by, equal, "")
}
