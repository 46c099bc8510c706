package serving_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/banyan-fig/banyan/infra/serving"
)

type server struct {
	Listen string   `env:"THE_THING_LISTEN" default:"default"`
	Mode   string   `default:"0644"`
	Names  []string `help:"Names."`
	Remote bool     `help:"Remote."`
}

// execute runs the command "the-thing serve" with args after it.
func execute(t *testing.T, args ...string) (got server, code int, stderr string) {
	t.Helper()
	before := slog.Default()
	defer slog.SetDefault(before)
	var g struct {
		Serve server `cmd:""`
		Other struct {
			Elsewhere string
		} `cmd:""`
	}
	var out, errs bytes.Buffer
	code = serving.Command{
		Name: "the-thing", Grammar: &g, Run: func(context.Context, *kong.Context, *slog.Logger) error { return nil },
	}.Execute(t.Context(), append([]string{"serve"}, args...), &out, &errs)
	return g.Serve, code, errs.String()
}

func configFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "thing.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestConfigFile: a flag counts before its variable, and that before the file, which
// may have values for other subcommands.
func TestConfigFile(t *testing.T) {
	path := configFile(t, "# all of them\nlisten: file\nmode: 0600\nremote: true\nnames:\n  - a\n  - 1\nelsewhere: x\n")
	got, code, stderr := execute(t, "--config", path)
	if code != 0 || got.Listen != "file" || got.Mode != "0600" || !got.Remote || strings.Join(got.Names, " ") != "a 1" {
		t.Errorf("%+v %d %s", got, code, stderr)
	}
	t.Setenv("THE_THING_CONFIG", path)
	t.Setenv("THE_THING_LISTEN", "variable")
	if got, code, stderr := execute(t); code != 0 || got.Listen != "variable" || got.Mode != "0600" {
		t.Errorf("%+v %d %s", got, code, stderr)
	}
	if got, code, stderr := execute(t, "--listen=flag"); code != 0 || got.Listen != "flag" {
		t.Errorf("%+v %d %s", got, code, stderr)
	}
}

// TestConfigFileInJSON is YAML, too; and some editors begin a file with a mark.
func TestConfigFileInJSON(t *testing.T) {
	path := configFile(t, "\ufeff"+`{"listen": "file", "mode": "0600", "names": ["a", 1]}`)
	if got, code, stderr := execute(t, "--config", path); code != 0 || got.Listen != "file" || got.Mode != "0600" || strings.Join(got.Names, " ") != "a 1" {
		t.Errorf("%+v %d %s", got, code, stderr)
	}
}

func TestConfigFileIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"listen: a\n\nlisen: x\n":     "thing.yaml:3: unknown flag --lisen",
		"config: other.yaml":          "thing.yaml:1: unknown flag --config",
		"listen: {a: b}\n":            "thing.yaml:1: listen: must be a text, a number, true, false, or a list",
		"listen:\n":                   "thing.yaml:1: listen: must be",
		"a: \"\nb: 1\n":               "thing.yaml:1: ",
		"- a\n":                       "thing.yaml:1: must be one document of flags and their values",
		"listen: a\n---\nlisten: b\n": "thing.yaml:3: must be one document",
		"listen: a\nlisten: b\n":      "thing.yaml:2: ",
		"listen: [a, b]\n":            "thing.yaml:1: listen takes one value, not a list of 2",
		"remote: perhaps\n":           "remote",
		"names:\n  - a\n  - {b: c}\n": "thing.yaml:1: names: must be",
	} {
		if _, code, stderr := execute(t, "--config", configFile(t, text)); code != serving.ExitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%q: %d %s; want %q", text, code, stderr, want)
		}
	}
	if _, code, stderr := execute(t, "--config", "nowhere.yaml"); code != serving.ExitUsage || !strings.Contains(stderr, "nowhere.yaml") {
		t.Errorf("%d %s", code, stderr)
	}
}

// FuzzConfigFile: no file ends the program other than by an error.
func FuzzConfigFile(f *testing.F) {
	for _, text := range []string{
		"", "a: 1", "a: [1, b]\nc: true", "a: {b: c}", "- a", "a: \"", "---\na: 1\n---\nb: 2",
		"a: |\n  text\n", "? a\n: b", "&x a: *x", "a: !!str 1", "# only", "listen: [[a]]",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if _, code, stderr := execute(t, "--config", configFile(t, text)); code != 0 && (code != serving.ExitUsage || stderr == "") {
			t.Errorf("%d %s", code, stderr)
		}
	})
}
