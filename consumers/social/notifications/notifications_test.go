package notifications_test

import (
	"testing"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/social/notifications"
	"github.com/banyan-fig/banyan/events/social"
)

// TestTheFollowedIsNotified, by a template that has what the rule gives.
func TestTheFollowedIsNotified(t *testing.T) {
	set, err := notifications.Templates()
	if err != nil {
		t.Fatal(err)
	}
	all := notifications.Rule(consumers.Message{Payload: social.RelationshipFollowed{FollowerID: "ada", FolloweeID: "bob"}})
	if len(all) != 1 || all[0].User != "bob" {
		t.Fatalf("notified: %+v", all)
	}
	for _, locale := range []string{"en", "de"} {
		if m, err := set[all[0].Template].Render(locale, all[0].Members); err != nil || m.Data["screen"] != "profile/ada" {
			t.Errorf("%s: %+v, %v", locale, m, err)
		}
	}
	for _, other := range []consumers.Message{{}, {Payload: social.PostDeleted{}}, {Payload: social.RelationshipFollowed{FollowerID: "ada", FolloweeID: "ada"}}} {
		if all := notifications.Rule(other); len(all) != 0 {
			t.Errorf("%T notifies %+v", other.Payload, all)
		}
	}
}
