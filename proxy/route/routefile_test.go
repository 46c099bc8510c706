package route_test

import (
	"os"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/proxy/route"
)

const secret = "0123456789abcdef0123456789abcdef"

func testEnv(extra map[string]string) func(string) (string, bool) {
	env := map[string]string{
		"SECRET": secret, "COHORT_KEY": "a key that no client has", "SHORT": "short",
		"OLD_URL": "http://127.0.0.1:1", "NEW_URL": "http://127.0.0.1:2",
	}
	for k, v := range extra {
		env[k] = v
	}
	return func(name string) (string, bool) { v, ok := env[name]; return v, ok }
}

// Every mistake is reported at the line and column where a person mends it.
func TestBrokenRouteFilesNameThePlace(t *testing.T) {
	raw, err := os.ReadFile("testdata/broken/cases.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range strings.Split("\n"+string(raw), "\n-- ")[1:] {
		name, rest, _ := strings.Cut(c, " --\n")
		source, want, ok := strings.Cut("\n"+rest, "\nwant: ")
		if !ok {
			t.Fatalf("case %q has no want", name)
		}
		t.Run(name, func(t *testing.T) {
			_, err := route.Compile("routes.yaml", []byte(strings.TrimPrefix(source, "\n")), testEnv(nil))
			if err == nil {
				t.Fatal("compiled")
			}
			if want := "routes.yaml" + strings.TrimSpace(want); !strings.Contains(err.Error(), want) {
				t.Errorf("error:\n%v\nwant:\n%s", err, want)
			}
		})
	}
}

// TestAMistakeIsReportedOnce: what follows from it is not.
func TestAMistakeIsReportedOnce(t *testing.T) {
	const src = `version: 1
legacy: old
upstreams: {old: {url: "http://127.0.0.1:1"}}
routes:
  - {name: a, path: /a, mode: forwards, upstream: old, shadow: {percent: 1}, pin: {forward: [ann]}}`
	if _, err := route.Compile("r.yaml", []byte(src), testEnv(nil)); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("want one line, got: %v", err)
	}
}

// All mistakes come in one go, so that a person mends a file once.
func TestCompileReportsEveryMistake(t *testing.T) {
	src := "version: 3\nlegacy: nobody\nupstreams:\n  old: {url: \"http://127.0.0.1:1\"}\nroutes:\n  - name: a\n    path: a\n    mode: legacy\n"
	_, err := route.Compile("r.yaml", []byte(src), testEnv(nil))
	if err == nil {
		t.Fatal("compiled")
	}
	for _, want := range []string{"r.yaml:1:10:", "r.yaml:2:9:", "r.yaml:7:11:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %s", err, want)
		}
	}
}

// What is wrong once is said once: unset variables do not make every route
// wrong that needs them.
func TestUnsetVariablesAreReportedOnce(t *testing.T) {
	src, err := os.ReadFile("testdata/routes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, err = route.Compile("r.yaml", src, func(string) (string, bool) { return "", false })
	if err == nil {
		t.Fatal("compiled")
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) != 4 {
		t.Errorf("four variables are missing, said:\n%v", err)
	}
}

func FuzzCompile(f *testing.F) {
	good, err := os.ReadFile("testdata/routes.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("version: 1\nroutes: [{}]"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, src []byte) {
		if len(src) > 4096 {
			return
		}
		table, err := route.Compile("f.yaml", src, testEnv(nil))
		if (table == nil) == (err == nil) {
			t.Fatalf("table %v, error %v", table, err)
		}
	})
}
