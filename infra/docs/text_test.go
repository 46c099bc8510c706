package docs_test

import (
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// documents are the Markdown files of the repository.
func documents(t *testing.T) []string {
	t.Helper()
	return slices.DeleteFunc(tracked(t), func(name string) bool { return !strings.HasSuffix(name, ".md") })
}

var (
	link     = regexp.MustCompile(`\]\(([^)#\s]+)(?:#[^)\s]*)?\)`)
	place    = regexp.MustCompile("`((?:events|publishers|consumers|services|proxy|migrate|infra)/[A-Za-z0-9_/.-]+[A-Za-z0-9_])`")
	testName = regexp.MustCompile("`((?:Test|Fuzz|Example|Benchmark)[A-Z][A-Za-z0-9_]*)(\\.\\.\\.)?`")
	testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example|Benchmark)[A-Za-z0-9_]*)\(`)
)

// TestPlaces: what documents link to, and the folders and files they name, exist.
func TestPlaces(t *testing.T) {
	for _, name := range documents(t) {
		text := block.ReplaceAllString(read(t, name), "") // code indexes and calls, too
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(m[1], "://") && !exists(path.Join(path.Dir(name), m[1])) {
				t.Errorf("%s links to %s, which does not exist", name, m[1])
			}
		}
		for _, m := range place.FindAllStringSubmatch(text, -1) {
			if !strings.HasPrefix(path.Base(name), "CHANGELOG") && !exists(strings.TrimSuffix(m[1], "/...")) {
				t.Errorf("%s names %s, which does not exist", name, m[1])
			}
		}
	}
}

// TestNamedTests: the tests that documents name exist.
func TestNamedTests(t *testing.T) {
	var there []string
	for _, name := range tracked(t) {
		if strings.HasSuffix(name, ".go") {
			for _, m := range testFunc.FindAllStringSubmatch(read(t, name), -1) {
				there = append(there, m[1])
			}
		}
	}
	for _, name := range documents(t) {
		for _, m := range testName.FindAllStringSubmatch(read(t, name), -1) {
			isIt := func(test string) bool { return test == m[1] || m[2] != "" && strings.HasPrefix(test, m[1]) }
			if !slices.ContainsFunc(there, isIt) {
				t.Errorf("%s names the test %s, which does not exist", name, m[0])
			}
		}
	}
}

// longest is how many characters a line of Go may have.
const longest = 160

// TestLineLength leaves out what is generated, and tags of fields, which cannot be
// broken.
func TestLineLength(t *testing.T) {
	for _, name := range tracked(t) {
		if !strings.HasSuffix(name, ".go") {
			continue
		}
		text := read(t, name)
		if strings.Contains(text, "// Code generated ") {
			continue
		}
		for i, line := range strings.Split(text, "\n") {
			code, _, _ := strings.Cut(line, " `")
			if n := len([]rune(code)); n > longest {
				t.Errorf("%s:%d has %d characters, at most %d are allowed", name, i+1, n, longest)
			}
		}
	}
}

// TestREADMELength: the first page stays one that is read.
func TestREADMELength(t *testing.T) {
	if n := len(strings.Fields(read(t, "README.md"))); n > 1000 {
		t.Errorf("README.md has %d words, at most 1000 are allowed", n)
	}
}

var excerpt = regexp.MustCompile("(?s)<!-- from ([^ ]+) -->\n```[a-z]*\n(.*?)```")

// TestExcerpts: code in a document that says which file it is from is in that file,
// with elisions written as a line "// ...".
func TestExcerpts(t *testing.T) {
	for _, name := range documents(t) {
		for _, m := range excerpt.FindAllStringSubmatch(read(t, name), -1) {
			code := read(t, m[1])
			for _, part := range strings.Split(m[2], "\n// ...\n") {
				if !strings.Contains(code, strings.Trim(part, "\n")) {
					t.Errorf("%s: this is not in %s:\n%s", name, m[1], part)
				}
			}
		}
	}
}

func exists(name string) bool {
	_, err := os.Stat(path.Join(root, name))
	return err == nil
}
