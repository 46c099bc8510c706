package migrate_test

import (
	"os/exec"
	"testing"
)

// TestQuickStartLoader: the program that the README runs is outside of what ./... matches.
func TestQuickStartLoader(t *testing.T) {
	if out, err := exec.Command("go", "vet", "./testdata/load").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
