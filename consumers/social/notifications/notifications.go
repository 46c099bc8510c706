// Package notifications is who of the example company is notified of what: users of who
// follows them.
package notifications

import (
	"embed"
	"io/fs"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/notify"
	"github.com/banyan-fig/banyan/consumers/notify/template"
	"github.com/banyan-fig/banyan/events/social"
)

//go:embed templates
var files embed.FS

// Templates are those of the company.
func Templates() (template.Set, error) {
	folder, err := fs.Sub(files, "templates")
	if err != nil {
		return nil, err
	}
	return template.Load(folder)
}

// Rule notifies the followed.
func Rule(m consumers.Message) []notify.Notification {
	p, ok := m.Payload.(social.RelationshipFollowed)
	if !ok || p.FollowerID == p.FolloweeID {
		return nil
	}
	return []notify.Notification{{User: p.FolloweeID, Template: "follow", Members: map[string]string{"follower": p.FollowerID}}}
}
