package outboxtable_test

import (
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/publishers/outboxtable"
)

func TestNewNamesEverythingThatIsWrong(t *testing.T) {
	_, err := outboxtable.New(outboxtable.Config{Claim: -1, ID: strings.Repeat("i", 200)})
	if err == nil {
		t.Fatal("an empty config: no error")
	}
	for _, field := range []string{"Client", "Table", "Publisher", "DeadLetters", "Claim", "ID"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("%q does not name %s", err, field)
		}
	}
}
