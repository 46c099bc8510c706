package keys_test

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/infra/token"
	"github.com/banyan-fig/banyan/infra/token/keys"
)

const secret = "0123456789abcdef0123456789abcdef"

func TestValidate(t *testing.T) {
	for value, ok := range map[string]bool{secret: true, "ssm:/a": true, "secret:a": true, "": false, "short": false} {
		err := keys.Validate(value)
		if (err == nil) != ok || err != nil && (!errors.Is(err, token.ErrSecret) || !strings.HasPrefix(err.Error(), keys.Variable+": ")) {
			t.Errorf("%q: %v", value, err)
		}
	}
}

// TestOpen with the secret itself; references are in the tests of the services.
func TestOpen(t *testing.T) {
	settings := config.NewSettings()
	defer settings.Close()
	server, stop, err := keys.Open(t.Context(), settings, secret, 0, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	function, err := keys.OpenFunction(t.Context(), settings, secret, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := server.Issue("ada")
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer "+signed)
	for _, check := range []interface {
		Subject(*http.Request) (string, error)
	}{server, function} {
		if got, err := check.Subject(r); err != nil || got != "ada" {
			t.Errorf("%T: %q, %v", check, got, err)
		}
	}
	if _, _, err := keys.Open(t.Context(), settings, "short", 0, slog.Default()); !errors.Is(err, token.ErrSecret) {
		t.Errorf("a short secret: %v", err)
	}
}
