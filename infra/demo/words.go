package demo

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// How much of the logs is shown after a failure: what was said shortly before a
// request failed, and no more than a reader looks through.
const (
	wordsBefore = 2 * time.Second
	wordsAfter  = 100 * time.Millisecond // a service may log after it answered
	mostWords   = 4                      // of each log
	longestWord = 400
)

var (
	complaint = regexp.MustCompile(`"level":"(WARN|ERROR)"`)
	saidAt    = regexp.MustCompile(`"time":"([^"]+)"`)
)

// words are the complaints in the logs of a folder shortly before a moment, the
// last of each, with the name of its log.
func words(dir string, moment time.Time) []string {
	type word struct {
		at   time.Time
		text string
	}
	var all []word
	logs, _ := filepath.Glob(filepath.Join(dir, "*.log")) // the pattern is well-formed
	for _, name := range logs {
		var own []word
		f, err := os.Open(name)
		if err != nil {
			continue // the logs are named all the same
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			line := lines.Text()
			found := saidAt.FindStringSubmatch(line)
			if found == nil || !complaint.MatchString(line) {
				continue
			}
			at, err := time.Parse(time.RFC3339Nano, found[1])
			if err == nil && at.After(moment.Add(-wordsBefore)) && at.Before(moment.Add(wordsAfter)) {
				own = append(own, word{at, fmt.Sprintf("%s: %.*s", filepath.Base(name), longestWord, line)})
			}
		}
		_ = f.Close() // it was only read
		all = append(all, own[max(0, len(own)-mostWords):]...)
	}
	slices.SortStableFunc(all, func(a, b word) int { return a.at.Compare(b.at) })
	var out []string
	for _, w := range all {
		out = append(out, w.text)
	}
	return out
}

// again is the command line that does the same once more.
func (c Config) again() string {
	target := "demo"
	if c.Chaos {
		target = "chaos"
	}
	line := fmt.Sprintf("make %s SEED=%d SIZE=%d RATE=%d", target, c.Seed, c.Size, c.Rate)
	if c.Data != "" {
		line += " DATA='" + strings.ReplaceAll(c.Data, "'", `'\''`) + "'"
	}
	return line
}

// lament helps whoever looks for the reason of a failure, also where the logs are
// out of reach, as in CI.
func (w *World) lament() {
	moment, what := time.Now(), "the end"
	if w.traffic != nil {
		w.traffic.mu.Lock()
		if at := w.traffic.failedAt; !at.IsZero() {
			moment, what = at, "the first request failed"
		}
		w.traffic.mu.Unlock()
	}
	if said := words(w.dir, moment); len(said) > 0 {
		w.screen.print(fmt.Sprintf("\nWhat was logged in the %s before %s (%s UTC):\n", wordsBefore, what, moment.UTC().Format("15:04:05.000")))
		for _, line := range said {
			w.screen.print("  - " + line + "\n")
		}
	}
	w.screen.step("to do this again: %s", w.cfg.again())
}
