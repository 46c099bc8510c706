package terraform_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// sources are all files of the modules and examples, without comments, by name.
func sources(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"../modules/*/*.tf", "../examples/*/*.tf"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all[file] = comment.ReplaceAllString(string(text), "$1")
		}
	}
	if len(all) < 30 {
		t.Fatalf("only %d files were found", len(all))
	}
	return all
}

var (
	comment  = regexp.MustCompile(`(?m)(^|\s)#.*$`)
	actions  = regexp.MustCompile(`(?s)\bactions\s*=\s*\[(.*?)\]`)
	quoted   = regexp.MustCompile(`"([^"]*)"`)
	oneOf    = regexp.MustCompile(`^[a-z0-9-]+:[A-Z][A-Za-z]+$`)
	managed  = regexp.MustCompile(`aws_iam_role_policy_attachment|managed_policy_arns|"aws_iam_policy"`)
	anywhere = regexp.MustCompile(`resources\s*=\s*\["\*"\](?:\s*because\s*=|.*)`)
)

// TestActionsAreWrittenOut: no policy grants by a wildcard, or by a policy that
// somebody else writes.
func TestActionsAreWrittenOut(t *testing.T) {
	found := 0
	for file, text := range sources(t) {
		for _, list := range actions.FindAllStringSubmatch(text, -1) {
			for _, action := range quoted.FindAllStringSubmatch(strings.ReplaceAll(list[1], `split(":"`, ""), -1) {
				found++
				if !oneOf.MatchString(action[1]) {
					t.Errorf("%s: %q is no single action", file, action[1])
				}
			}
		}
		if use := managed.FindString(text); use != "" {
			t.Errorf("%s has %s: write the policy out", file, use)
		}
	}
	if found < 50 {
		t.Errorf("only %d actions were found", found)
	}
}

// TestEverywhereHasAReason: a statement on all resources says why, to the module
// that checks it or in a comment.
func TestEverywhereHasAReason(t *testing.T) {
	for file := range sources(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, use := range anywhere.FindAllString(string(text), -1) {
			if !strings.Contains(use, "because") && !strings.Contains(use, "#") {
				t.Errorf("%s: %s does not say why", file, use)
			}
		}
	}
}

// TestExampleHasEveryModule: whatever is checked of the example, is checked of all
// modules.
func TestExampleHasEveryModule(t *testing.T) {
	modules := map[string]bool{} // and whether the example has it
	uses := map[string][]string{}
	source := regexp.MustCompile(`\bsource\s*=\s*"(?:\.\./)+(?:modules/)?([a-z-]+)"`)
	for file, text := range sources(t) {
		folder := filepath.Base(filepath.Dir(file))
		if strings.Contains(file, "/modules/") {
			modules[folder] = false
		}
		for _, use := range source.FindAllStringSubmatch(text, -1) {
			uses[folder] = append(uses[folder], use[1])
		}
	}
	for next := uses["environment"]; len(next) > 0; next = next[1:] {
		if !modules[next[0]] {
			modules[next[0]] = true
			next = append(next, uses[next[0]]...)
		}
	}
	for module, used := range modules {
		if !used {
			t.Errorf("the example has no module %s", module)
		}
	}
	if len(modules) < 15 {
		t.Errorf("only %d modules were found", len(modules))
	}
}

// TestEveryFunctionHasAPlace: some module or the example
// names every Lambda function that there is.
func TestEveryFunctionHasAPlace(t *testing.T) {
	var text strings.Builder
	for _, source := range sources(t) {
		text.WriteString(source)
	}
	programs := 0
	err := filepath.WalkDir("../../..", func(file string, entry fs.DirEntry, err error) error {
		switch name := entry.Name(); {
		case err != nil:
			return err
		case entry.IsDir() && (name == "internal" || name == "testdata" || name == "bin" || len(name) > 2 && name[0] == '.'):
			return fs.SkipDir
		case name != "main.go" || filepath.Base(filepath.Dir(filepath.Dir(file))) != "cmd":
			return nil
		}
		source, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if !strings.Contains(string(source), "/aws-lambda-go/lambda") && !strings.Contains(string(source), "function.Main(") {
			return nil
		}
		programs++
		name := filepath.Base(filepath.Dir(file))
		if !regexp.MustCompile(`["/]` + regexp.QuoteMeta(name) + `(\.zip)?"`).MatchString(text.String()) {
			t.Errorf("no module deploys the function %s: add it to infra/terraform/examples/environment", name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if programs < 10 {
		t.Errorf("only %d functions were found", programs)
	}
}
