package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/infra/serving"
)

func TestListShowStats(t *testing.T) {
	l := newLetters(t)
	check(t, "deadletters stats", 0, "no dead letters")
	check(t, "deadletters list orders", exitUnknown, "no dead letters of a consumer \"orders\", but none of any other")
	for n := 1; n <= 25; n++ {
		l.put("orders", n, func(d *consumers.DeadLetter) {
			if n%5 == 0 {
				d.EventType, d.Reason = "", "not an event:\n\x1b[31m"
			}
		})
	}
	large := l.put("mails", 7, func(d *consumers.DeadLetter) { d.Raw = []byte(strings.Repeat("whole ", 100<<10)) })
	other := l.put("mails", 7, func(d *consumers.DeadLetter) {
		d.Stream, d.Raw = "arn:aws:kinesis:us-east-1:000000000000:stream/other", []byte("x")
	})

	check(t, "deadletters stats", 0, "orders", "25", "20 order.placed", "5 (not decoded)", "20 reason 0", "mails")
	check(t, "deadletters list ordres", exitUnknown, `those of mails (2), orders (25)`)
	if out := check(t, "deadletters list orders", 0, "and more", `"not an event:; \x1b[31m"`); strings.Count(out, "\n") != 22 {
		t.Errorf("listed %s", out)
	}
	check(t, "deadletters list orders --type=order.moved", 0, "no dead letters of orders are left that fit")
	var listed struct {
		Letters []letterJSON
		More    bool
	}
	out := check(t, "deadletters list orders --limit=0 --json --contains=reason --since=2000-01-01T00:00:00Z --until=1s", 0)
	if err := json.Unmarshal([]byte(out), &listed); err != nil || len(listed.Letters) != 20 || listed.More || listed.Letters[0].EventID != "id-1" {
		t.Errorf("%s, %v", out, err)
	}
	check(t, "deadletters list orders --until=2000-01-01T00:00:00Z", 0, "no dead letters of orders")
	check(t, "deadletters list orders --since=yesterday", serving.ExitUsage, "must be a time such as")

	at := large.Position.String()
	check(t, "deadletters show mails "+at, serving.ExitUsage, "--stream="+large.Stream, "--stream="+other.Stream)
	check(t, "deadletters show mails "+at+" --stream="+large.Stream, 0, "614400 bytes:\nwhole whole", "partition key", "order.placed")
	if out := check(t, "deadletters show mails "+at+" --raw --stream="+large.Stream, 0); out != string(large.Raw) {
		t.Errorf("%d bytes", len(out))
	}
	check(t, "deadletters show orders "+at+" --json", 0, `"raw": "eyJuIjoxfQ=="`)
	check(t, "deadletters show order "+at, exitUnknown, "those of mails (2), orders (25)")
	check(t, "deadletters show orders x", serving.ExitUsage, "not a position")
	check(t, "deadletters stats --table=elsewhere", serving.ExitFailure, `scan table "elsewhere"`)
}
