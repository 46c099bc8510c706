package events_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestReadmeIsCompiled: every Go block of the README stands in a file that is
// compiled, word for word.
func TestReadmeIsCompiled(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var compiled strings.Builder
	for _, file := range []string{"example_test.go", "eventstest/example_test.go", "../consumers/example_payload_test.go"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		compiled.Write(source)
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	for _, block := range blocks {
		for _, part := range strings.Split(block[1], "\n\n") {
			if part = strings.TrimSpace(part); !strings.Contains(compiled.String(), part) {
				t.Errorf("not in a file that is compiled:\n%s", part)
			}
		}
	}
	if len(blocks) < 3 {
		t.Errorf("only %d blocks of Go", len(blocks))
	}
}
