package notify

import (
	"testing"
	"time"
)

func TestQuietHoursEnd(t *testing.T) {
	vienna, err := time.LoadLocation("Europe/Vienna")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ hours, now, want string }{
		{"22:00-07:00", "2026-07-01T21:59", ""},
		{"22:00-07:00", "2026-07-01T22:00", "2026-07-02T07:00"},
		{"22:00-07:00", "2026-07-02T06:59", "2026-07-02T07:00"},
		{"22:00-07:00", "2026-07-02T07:00", ""},
		{"22:00-07:00", "2026-12-31T23:00", "2027-01-01T07:00"},
		{"13:00-15:00", "2026-07-01T14:00", "2026-07-01T15:00"},
		{"13:00-15:00", "2026-07-01T15:00", ""},
		{"off", "2026-07-01T03:00", ""},
		{"08:00-08:00", "2026-07-01T08:00", ""},
		{"22:00-02:30", "2026-03-29T01:30", "2026-03-29T03:30"}, // 02:30 is not that night: an hour is missing
		{"22:00-02:30", "2026-10-25T02:15", "2026-10-25T02:30"}, // there are two; whichever
	} {
		h, err := parseHours(test.hours)
		if err != nil {
			t.Fatal(err)
		}
		now, err := time.ParseInLocation("2006-01-02T15:04", test.now, vienna)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if end, quiet := h.until(now); quiet {
			if got = end.Format("2006-01-02T15:04"); !end.After(now) {
				t.Errorf("%s at %s: ended at %s", test.hours, test.now, got)
			}
		}
		if got != test.want {
			t.Errorf("%s at %s: until %q, want %q", test.hours, test.now, got, test.want)
		}
	}
	for _, text := range []string{"", "22-7", "25:00-07:00", "22:00", "7:00-"} {
		if _, err := parseHours(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}
