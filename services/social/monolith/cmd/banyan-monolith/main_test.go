package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/banyan-fig/banyan/services/social/internal/scripttest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"banyan-monolith": main})
}

// TestScripts runs testdata/*.txtar against a sandbox with a stream.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata", Setup: scripttest.Prepare})
}
