// Package recommendations suggests to users of the example whom to follow: those whom most of
// the people they follow are following. It binds package recommend to the example's events.
package recommendations

import (
	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/recommend"
	"github.com/banyan-fig/banyan/events/social"
)

// DefaultTable is the name of the table where the environment gives none.
const DefaultTable = "banyan-recommendations"

// New makes the read model.
func New(client recommend.Client, table string) (*recommend.Model, error) {
	return recommend.New(recommend.Config{Client: client, Table: table, Edges: edges, Left: left})
}

func edges(m consumers.Message) []recommend.Edge {
	switch p := m.Payload.(type) {
	case social.RelationshipFollowed:
		return []recommend.Edge{{From: p.FollowerID, To: p.FolloweeID, Present: true}}
	case social.RelationshipUnfollowed:
		return []recommend.Edge{{From: p.FollowerID, To: p.FolloweeID}}
	}
	return nil
}

func left(m consumers.Message) string {
	p, _ := m.Payload.(social.UserLeft)
	return p.UserID
}
