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

// How much of the logs is shown after a failure: what was logged shortly before a
// request failed, and no more than a reader looks through.
const (
	excerptBefore  = 2 * time.Second
	excerptAfter   = 100 * time.Millisecond // a service may log after it answered
	maxLinesPerLog = 4
	maxLineBytes   = 400
)

var (
	warningLine = regexp.MustCompile(`"level":"(WARN|ERROR)"`)
	lineTime    = regexp.MustCompile(`"time":"([^"]+)"`)
)

type logLine struct {
	at   time.Time
	text string
}

// warningsBefore returns the warnings and errors in the logs of a folder shortly
// before a failure, the last of each log, by time, each with the name of its log.
func warningsBefore(dir string, failedAt time.Time) []string {
	var all []logLine
	logs, _ := filepath.Glob(filepath.Join(dir, "*.log")) // the pattern is well-formed
	for _, name := range logs {
		all = append(all, warningsIn(name, failedAt)...)
	}
	slices.SortStableFunc(all, func(a, b logLine) int { return a.at.Compare(b.at) })
	var out []string
	for _, l := range all {
		out = append(out, l.text)
	}
	return out
}

func warningsIn(name string, failedAt time.Time) (found []logLine) {
	f, err := os.Open(name)
	if err != nil {
		return nil // the logs are named all the same
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		match := lineTime.FindStringSubmatch(line)
		if match == nil || !warningLine.MatchString(line) {
			continue
		}
		at, err := time.Parse(time.RFC3339Nano, match[1])
		if err == nil && at.After(failedAt.Add(-excerptBefore)) && at.Before(failedAt.Add(excerptAfter)) {
			found = append(found, logLine{at, fmt.Sprintf("%s: %.*s", filepath.Base(name), maxLineBytes, line)})
		}
	}
	return found[max(0, len(found)-maxLinesPerLog):]
}

// reproduceCommand is the command line that runs the same once more.
func (c Config) reproduceCommand() string {
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

// explainFailure shows what was logged before a failure, also where the logs are out
// of reach, as in CI, and how to reproduce it.
func (w *World) explainFailure() {
	failedAt, what := time.Now(), "the end"
	if w.traffic != nil {
		w.traffic.mu.Lock()
		if first := w.traffic.failedAt; !first.IsZero() {
			failedAt, what = first, "the first failed request"
		}
		w.traffic.mu.Unlock()
	}
	if warnings := warningsBefore(w.dir, failedAt); len(warnings) > 0 {
		w.screen.print(fmt.Sprintf("\nWarnings and errors logged in the %s before %s (%s UTC):\n",
			excerptBefore, what, failedAt.UTC().Format("15:04:05.000")))
		for _, line := range warnings {
			w.screen.print("  - " + line + "\n")
		}
	}
	w.screen.step("reproduce with: %s", w.cfg.reproduceCommand())
}
