package acceptance

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// The variables that name deployed APIs, see the package comment.
const (
	UsersVariable    = "BANYAN_ACCEPTANCE_URL_USERS"
	MobileVariable   = "BANYAN_ACCEPTANCE_URL_MOBILE"
	TimelineVariable = "BANYAN_ACCEPTANCE_URL_TIMELINE"
)

// known is a request that an API, and nothing else, answers in a certain way.
type known struct {
	api, variable string
	path          string
	status        int
	part          string // of the body
}

var (
	knownUsers    = known{"users", UsersVariable, "/v1/users/x", http.StatusBadRequest, `"/problems/invalid"`}
	knownMobile   = known{"mobile", MobileVariable, "/api/v1/timeline", http.StatusUnauthorized, `"unauthorized"`}
	knownTimeline = known{"timeline", TimelineVariable, "/v1/timelines/x", http.StatusUnauthorized, `"/problems/unauthorized"`}
)

// arrival is how long an API may take for its first answer: a function may have to
// start, and a stage may be about to change.
const arrival = 15 * time.Second

// reach ends the test unless the API is there, before each case waits for it.
func reach(t testing.TB, to Target, k known) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), arrival)
	defer cancel()
	if err := k.at(ctx, to); err != nil {
		t.Fatal(err)
	}
}

// at says what is wrong with what it finds there.
func (k known) at(ctx context.Context, to Target) error {
	begin := time.Now()
	got, err := patient(ctx, to, request{method: http.MethodGet, path: k.path})
	switch {
	case err != nil:
		return fmt.Errorf("the %s API does not answer at %s: %w (tried for %s); is it deployed and running, and is %s right?",
			k.api, to, err, time.Since(begin).Round(time.Millisecond), k.variable)
	case got.status != k.status || !strings.Contains(got.body, k.part):
		return fmt.Errorf("what answers at %s is not the %s API: GET %s is status %d, %.200q, instead of status %d with %s; is %s right?",
			to, k.api, k.path, got.status, got.body, k.status, k.part, k.variable)
	}
	return nil
}

// checkURL refuses what cannot be the address of an API.
func checkURL(base string) error {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%q is no address of an API: write https://host or https://host/stage into the variable", base)
	}
	return nil
}
