package main_test

import (
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/infra/figures/figurestest"
)

// TestCommand measures everything, little of it, on the sandbox. DynamoDB Local cannot be had
// here, where the script that starts it is not, which is said by name and is no failure.
func TestCommand(t *testing.T) {
	path := figurestest.Build(t)
	t.Run("JSON", func(t *testing.T) {
		out, errs, code := figurestest.Run(t, "", path, "--json", "--documents=300", "--rounds=1", "--hot=100ms", "--lanes=2", "--ranges=20", "--switches=2")
		if code != 0 || !strings.Contains(errs, "SKIPPED dynamodb-local") {
			t.Fatalf("%d %s", code, errs)
		}
		got := figurestest.Figures(t, "migrate", out)
		for _, want := range []string{
			"batchwrite documents_per_second",
			"copy-nounique rate_ratio_to_batchwrite",
			"copy-nounique cpu_ratio_to_batchwrite",
			"copy-unique rate_ratio_to_batchwrite",
			"verify rate_ratio_to_copy",
			"verify-two-processes rate_ratio_to_copy",
			"changes-one-document changes_per_second",
			"changes-one-document seconds_behind_at_the_end",
			"changes-many-documents-2-lanes changes_per_second",
			"copy-memory peak_mib_above_start",
			"claim-ranges cpu_ratio_to_a_tenth_of_ranges",
		} {
			if got[want] <= 0 {
				t.Errorf("%s is %v in\n%s", want, got[want], out)
			}
		}
	})
	t.Run("usage", func(t *testing.T) {
		for _, wrong := range []string{"--cases=fastest", "--servers=mine", "--documents=1"} {
			if _, errs, code := figurestest.Run(t, "", path, wrong); code != 2 || !strings.Contains(errs, "bench: ") {
				t.Errorf("%s: %d %s", wrong, code, errs)
			}
		}
	})
}
