package config_test

import (
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/infra/config"
)

// TestPeerRotation reads and follows values of another implementation of both
// services.
func TestPeerRotation(t *testing.T) {
	parameters, secrets := os.Getenv("BANYAN_CONFORMANCE_SSM"), os.Getenv("BANYAN_CONFORMANCE_SECRETSMANAGER")
	if parameters == "" || secrets == "" {
		t.Skip("BANYAN_CONFORMANCE_SSM and BANYAN_CONFORMANCE_SECRETSMANAGER are not set")
	}
	w := &world{t: t}
	w.ssm, w.secrets = w.clients(parameters, secrets)
	under := "/banyan/" + uuid.NewString()
	w.put(under+"/plain", "p", types.ParameterTypeString)
	w.put(under+"/uri", "one", types.ParameterTypeSecureString)
	w.create(under[1:]+"/db", `{"uri":"one"}`)
	c := w.client(config.Config{TTL: 50 * time.Millisecond})
	settings := config.WithClient(c)
	if plain, err := c.Secret(t.Context(), reference(t, "ssm:"+under+"/plain")); err != nil || plain.Reveal() != "p" {
		t.Errorf("plain: %q, %v", plain, err)
	}
	for value, change := range map[string]func(){
		"ssm:" + under + "/uri":           func() { w.put(under+"/uri", "two", types.ParameterTypeSecureString) },
		"secret:" + under[1:] + "/db#uri": func() { w.rotate(under[1:]+"/db", `{"uri":"two"}`) },
	} {
		s, err := settings.Secret(t.Context(), "X", value)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if got, err := s.Get(t.Context()); err != nil || got.Reveal() != "one" {
			t.Errorf("%s: %q, %v", value, got.Reveal(), err)
		}
		change()
		select {
		case <-s.Changed():
		case <-time.After(time.Minute):
			t.Fatalf("%s: nothing was told of the change", value)
		}
		if got, err := s.Get(t.Context()); err != nil || got.Reveal() != "two" {
			t.Errorf("%s: %q, %v", value, got.Reveal(), err)
		}
	}
	for _, missing := range []string{"ssm:" + under + "/none", "secret:" + under[1:] + "/none"} {
		if _, err := settings.Secret(t.Context(), "X", missing); err == nil {
			t.Errorf("%s was found", missing)
		}
	}
}
