package gateway_test

import (
	"os"
	"os/exec"
	"testing"
)

// TestGeneratedClient: a client that is generated of the OpenAPI works, whichever database owns
// the entity.
func TestGeneratedClient(t *testing.T) {
	command := os.Getenv("BANYAN_GATEWAY_CLIENT")
	if command == "" {
		t.Skip("SKIPPED: make gateway-clients runs it, with generators in Node.js and Python")
	}
	eachOwner(t, func(w *world) {
		cmd := exec.CommandContext(w.Context(), "bash", "-c", command)
		cmd.Env = append(os.Environ(), "GATEWAY="+w.url)
		if out, err := cmd.CombinedOutput(); err != nil {
			w.Errorf("%v\n%s", err, out)
		}
	})
}
