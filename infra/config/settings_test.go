package config_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/config"
)

// TestSameNamesEverywhere: a setting is used the same way whether it is given or
// referred to.
func TestSameNamesEverywhere(t *testing.T) {
	w := newWorld(t)
	w.put("/banyan/prod/mongodb-uri", "mongodb://db/prod", types.ParameterTypeSecureString)
	settings := config.WithClient(w.client(config.Config{TTL: 10 * time.Millisecond}))
	defer settings.Close()
	for value, want := range map[string]string{
		"mongodb://127.0.0.1/legacy":   "mongodb://127.0.0.1/legacy",
		"ssm:/banyan/prod/mongodb-uri": "mongodb://db/prod",
	} {
		s, err := settings.Secret(t.Context(), "MONGODB_URI", value)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for _, read := range []func() (config.Secret, error){
			func() (config.Secret, error) { return s.Get(t.Context()) },
			func() (config.Secret, error) { return s.Refresh(t.Context()) },
		} {
			if got, err := read(); err != nil || got.Reveal() != want || s.Fixed() != (value == want) {
				t.Errorf("%s: %q, %v", value, got.Reveal(), err)
			}
		}
		if s.Fixed() {
			continue
		}
		w.put("/banyan/prod/mongodb-uri", "mongodb://db/next", types.ParameterTypeSecureString)
		select {
		case <-s.Changed():
			if got, err := s.Get(t.Context()); err != nil || got.Reveal() != "mongodb://db/next" {
				t.Errorf("after the change: %q, %v", got.Reveal(), err)
			}
		case <-time.After(time.Minute):
			t.Error("nothing was told of the change")
		}
	}
	if _, err := settings.Secret(t.Context(), "MONGODB_URI", "secret:none"); !errors.Is(err, config.ErrNotFound) ||
		!strings.HasPrefix(err.Error(), "MONGODB_URI refers to secret:none: ") {
		t.Errorf("a reference to nothing: %v", err)
	}
	if _, err := settings.Secret(t.Context(), "MONGODB_URI", "ssm: x"); !errors.Is(err, config.ErrReference) {
		t.Errorf("a bad reference: %v", err)
	}
}

// TestNoAWSWithoutReferences: who gives values needs no region or credentials.
func TestNoAWSWithoutReferences(t *testing.T) {
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
	settings := config.NewSettings()
	defer settings.Close()
	if s, err := settings.Secret(t.Context(), "X", "value"); err != nil || !s.Fixed() {
		t.Errorf("a value: %v", err)
	}
	if _, err := settings.Secret(t.Context(), "X", "ssm:/x"); !errors.Is(err, awssdk.ErrNoRegion) {
		t.Errorf("a reference: %v", err)
	}
	t.Setenv("AWS_REGION", "eu-west-1")
	t.Setenv("BANYAN_CONFIG_TTL", "soon")
	if _, err := settings.Secret(t.Context(), "X", "ssm:/x"); err == nil || !strings.Contains(err.Error(), "BANYAN_CONFIG_TTL must be a duration") {
		t.Errorf("a bad TTL: %v", err)
	}
}
