package users_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

// TestEventsAreInTheOrderOfTheWrites: though many change one user at once, the
// stream tells the versions as the store counted them.
func TestEventsAreInTheOrderOfTheWrites(t *testing.T) {
	a := newAPI(t, ownership.MongoDB)
	a.do(request{method: "PUT", path: "/v1/users/" + ned, body: nedBody})
	var people sync.WaitGroup
	for i := range 8 {
		people.Go(func() {
			for k := range 5 {
				r := request{method: "PATCH", path: "/v1/users/" + ned, body: fmt.Sprintf(`{"bio":"%d of %d"}`, k, i)}
				if res, body := a.do(r); res.StatusCode != http.StatusOK {
					t.Errorf("%d %s", res.StatusCode, body)
				}
			}
		})
	}
	people.Wait()
	var last int64
	for _, e := range a.stream.Events() {
		if e.Type != "user.profile-updated" {
			continue
		}
		var p social.UserProfileUpdated
		if err := json.Unmarshal(e.Data, &p); err != nil {
			t.Fatal(err)
		}
		if p.Version <= last {
			t.Errorf("version %d was told after %d", p.Version, last)
		}
		last = p.Version
	}
	if last != 41 {
		t.Errorf("the last version told is %d, want 41", last)
	}
}
