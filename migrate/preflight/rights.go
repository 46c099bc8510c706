package preflight

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/source"
)

// rights are the privileges of the connection's user.
type rights []privilege

type privilege struct {
	Resource struct {
		DB, Collection *string
		Cluster        bool
		Any            bool `bson:"anyResource"`
	}
	Actions []string
}

// whole stands for a database as a whole, as a resource.
const whole = ""

// allow reports whether the user may do all actions on a collection of the database, or on
// the database as a whole.
func (r rights) allow(db, collection string, actions ...string) bool {
	return r.permit(actions, func(p *privilege) bool {
		if p.Resource.DB == nil || p.Resource.Collection == nil {
			return false
		}
		inDB := *p.Resource.DB == db || *p.Resource.DB == ""
		return inDB && (*p.Resource.Collection == "" || *p.Resource.Collection == collection)
	})
}

// allowCluster reports whether the user may do an action on the cluster.
func (r rights) allowCluster(action string) bool {
	return r.permit([]string{action}, func(p *privilege) bool { return p.Resource.Cluster })
}

func (r rights) permit(actions []string, on func(*privilege) bool) bool {
	for _, action := range actions {
		if !slices.ContainsFunc(r, func(p privilege) bool {
			return (p.Resource.Any || on(&p)) && (slices.Contains(p.Actions, action) || slices.Contains(p.Actions, "anyAction"))
		}) {
			return false
		}
	}
	return true
}

// allowRename follows the server: with renameCollectionSameDB on the database, unless
// that would make an unreadable collection readable; or as a copy and a drop.
func (r rights) allowRename(db, from, to string) bool {
	if r.allow(db, whole, "renameCollectionSameDB") && (r.allow(db, from, "find") || !r.allow(db, to, "find")) {
		return true
	}
	return r.allow(db, from, "find", "dropCollection") && r.allow(db, to, "insert", "createIndex")
}

// need is what must be allowed on one resource.
type need struct {
	collection string // or whole
	actions    []string
}

// aheadGenerations is how many of the names that come next are checked: those of an
// encapsulate, a cut-over and its undo.
const aheadGenerations = 3

// needs are the rights that the verbs need. A rename is checked apart.
func (w *world) needs() []need {
	write := []string{"find", "insert", "update", "remove", "listIndexes", "collMod", "createCollection", "dropCollection"}
	all := []need{
		{whole, []string{"listCollections", "find", "changeStream"}},
		{w.Plan.Source.Collection, write},
		{source.Barriers, []string{"find", "insert", "remove"}},
		{source.Claims, []string{"find", "insert", "update", "remove"}},
		{source.Positions, []string{"find", "insert", "update", "remove", "createCollection"}},
		{source.Misfits, []string{"find", "insert", "update", "remove", "createCollection"}},
		{source.LateWrites, []string{"find", "insert", "remove", "createCollection"}},
		{w.names().Stray(w.source.generation + 1), []string{"find", "dropCollection"}},
	}
	for g := range int64(aheadGenerations) {
		all = append(all, need{w.names().Physical(w.source.generation + 1 + g), write})
	}
	return all
}

func (w *world) askRights(ctx context.Context) ([]Finding, error) {
	var status struct {
		Auth struct {
			Users      []bson.Raw `bson:"authenticatedUsers"`
			Privileges rights     `bson:"authenticatedUserPrivileges"`
		} `bson:"authInfo"`
	}
	err := w.admin().RunCommand(ctx, bson.D{{Key: "connectionStatus", Value: 1}, {Key: "showPrivileges", Value: true}}).Decode(&status)
	if err != nil {
		return nil, err
	}
	if len(status.Auth.Users) == 0 {
		return []Finding{told("rights", "nobody is authenticated: access control is off, or MONGODB_URI names no user",
			"rights could not be checked", "")}, nil
	}
	w.rights = status.Auth.Privileges
	found := w.missingRights()
	if len(found) == 0 {
		found = append(found, told("rights", "the user has every right that the migration needs", "", ""))
	}
	if !w.rights.allowCluster("inprog") {
		found = append(found, acknowledge("rights:inprog", "the user may not see the operations of others (inprog on the cluster)",
			"open transactions and writers past the service stay unseen, and abandon cannot prove that no late command is left", "grant the role clusterMonitor"))
	}
	if missing := w.missingEvidence(); len(missing) > 0 {
		found = append(found, told("rights:evidence", "the user may not "+strings.Join(missing, ", nor "),
			"clients, encapsulate and cutover go by weaker evidence of who else uses the collection, and say so",
			"grant the roles dbAdmin on the database and clusterMonitor"))
	}
	return found, nil
}

// missingEvidence are the rights without which a gate knows less.
func (w *world) missingEvidence() []string {
	db := w.DB.Name()
	reads := w.rights.permit([]string{"find"}, func(p *privilege) bool { // no right on the database covers it
		return p.Resource.DB != nil && (*p.Resource.DB == db || *p.Resource.DB == "") && p.Resource.Collection != nil &&
			*p.Resource.Collection == "system.profile"
	})
	var missing []string
	if !reads || !w.rights.allow(db, whole, "enableProfiler") {
		missing = append(missing, "use the profiler (enableProfiler on "+db+", find on its system.profile)")
	}
	if !w.rights.allowCluster("top") {
		missing = append(missing, "count operations (top on the cluster)")
	}
	return missing
}

func (w *world) missingRights() []Finding {
	var found []Finding
	const grant = "grant readWrite and dbAdmin on the database, or a role with these actions on the names ahead"
	for _, n := range w.needs() {
		var missing []string
		for _, action := range n.actions {
			if !w.rights.allow(w.DB.Name(), n.collection, action) {
				missing = append(missing, action)
			}
		}
		resource := w.DB.Name()
		if n.collection != whole {
			resource = w.namespace(n.collection)
		}
		if len(missing) > 0 {
			found = append(found, stops("rights:"+resource, fmt.Sprintf("the user may not %s on %s", strings.Join(missing, ", "), resource),
				"a step of the migration would fail there", grant))
		}
	}
	next, then := w.names().Physical(w.source.generation+1), w.names().Physical(w.source.generation+2)
	for _, move := range [][2]string{{w.source.Name, next}, {next, then}, {next, w.Plan.Source.Collection}} {
		if move[0] != move[1] && !w.rights.allowRename(w.DB.Name(), move[0], move[1]) {
			return append(found, stops("rights:rename", fmt.Sprintf("the user may not rename %s to %s", w.namespace(move[0]), move[1]),
				"it needs renameCollectionSameDB on the database, and find on the first name or none on the second", grant))
		}
	}
	return found
}
