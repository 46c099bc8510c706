package acceptance

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// ModeVariable is the environment variable that says what is tested: "http" for
// deployed APIs only, "direct" (the default) for the others in the process.
const ModeVariable = "BANYAN_ACCEPTANCE"

// API is an API under test.
type API struct {
	// Name is what it is called in errors, such as "orders".
	Name string
	// Variable is the environment variable with the URL of a deployed one.
	Variable string
	// Probe distinguishes the API from another server at its address.
	Probe Probe
}

// Probe is a GET request to which only the API responds in this way. It
// must need neither data nor a token.
type Probe struct {
	Path     string
	Status   int
	Contains string // a part of the body
}

// Deployed is the API at the URL of its variable, nil if it is to run in the process.
// It skips the test if only deployed APIs are to be tested.
func (a API) Deployed(t testing.TB) Target {
	t.Helper()
	if base := os.Getenv(a.Variable); base != "" {
		return URL(t, base)
	}
	switch mode := os.Getenv(ModeVariable); mode {
	case "http":
		t.Skipf("%s is not set", a.Variable)
	case "", "direct":
	default:
		t.Fatalf("invalid %s %q: it must be http or direct", ModeVariable, mode)
	}
	return nil
}

// RequireDeployed fails the test if only deployed APIs are to be tested but none of
// these has an address.
func RequireDeployed(t testing.TB, apis ...API) {
	t.Helper()
	names := make([]string, len(apis))
	for i, a := range apis {
		if os.Getenv(a.Variable) != "" {
			return
		}
		names[i] = a.Variable
	}
	if os.Getenv(ModeVariable) == "http" {
		t.Errorf("%s=http, but none of %s is set", ModeVariable, strings.Join(names, ", "))
	}
}

// SkipIfDeployed skips a test that starts the APIs itself where deployed ones are to
// be tested.
func SkipIfDeployed(t testing.TB, apis ...API) {
	t.Helper()
	variables := []string{ModeVariable}
	for _, a := range apis {
		variables = append(variables, a.Variable)
	}
	for _, name := range variables {
		if os.Getenv(name) != "" {
			t.Skipf("%s is set: a deployed API is tested", name)
		}
	}
}

// Case is one case of an API.
type Case func(r Run, api Target)

// Run runs the cases in subtests, once the API is there.
func (a API) Run(t *testing.T, api Target, cases map[string]Case) {
	t.Helper()
	a.Await(t, api)
	for name, run := range cases {
		t.Run(name, func(t *testing.T) { run(NewRun(t), api) })
	}
}

// Await ends the test unless the API responds to its probe within 15 seconds. So an API
// that is not there is reported at once and in one place, not by each case.
func (a API) Await(t testing.TB, api Target) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), probeTimeout)
	defer cancel()
	if err := a.check(ctx, api); err != nil {
		t.Fatal(err)
	}
}

func (a API) check(ctx context.Context, api Target) error {
	begin := time.Now()
	got, err := sendRepeatedly(ctx, api, Request{Method: http.MethodGet, Path: a.Probe.Path})
	switch {
	case err != nil:
		return fmt.Errorf("the %s API does not respond at %s: %w (tried for %s); is it deployed and running, and is %s right?",
			a.Name, api, err, time.Since(begin).Round(time.Millisecond), a.Variable)
	case got.Status != a.Probe.Status || !strings.Contains(got.Body, a.Probe.Contains):
		return fmt.Errorf("the server at %s is not the %s API: GET %s is status %d, %.200q, instead of status %d with %s; is %s right?",
			api, a.Name, a.Probe.Path, got.Status, got.Body, a.Probe.Status, a.Probe.Contains, a.Variable)
	}
	return nil
}
