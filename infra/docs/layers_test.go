package docs_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/banyan-fig/banyan"
)

// layer is a row of the table of layers.
type layer struct {
	name     string
	patterns []string // of folders; "/..." at the end means all below, too
	imports  []string // names of layers, or folders
}

// TestLayers holds the imports of every package against the table of layers in
// ARCHITECTURE.md. What holds for each import holds for all that follow from it, so
// that this is the rule for `go list -deps`, too.
func TestLayers(t *testing.T) {
	layers := readLayers(t)
	used := map[string]bool{}
	for _, p := range listPackages(t) {
		from := layerOf(layers, p.folder())
		if from == nil {
			t.Errorf("no layer in ARCHITECTURE.md has the package %s", p.folder())
			continue
		}
		used[from.name] = true
		for _, imported := range p.Imports {
			folder, ours := strings.CutPrefix(imported, module+"/")
			if !ours || mayImport(layers, from, p.folder(), folder) {
				continue
			}
			t.Errorf("%s imports %s: by ARCHITECTURE.md the layer %q imports only %s", p.folder(), folder, from.name, strings.Join(from.imports, ", "))
		}
	}
	for _, l := range layers {
		if !used[l.name] {
			t.Errorf("the layer %q of ARCHITECTURE.md has no package", l.name)
		}
	}
}

// mayImport reports whether the table allows it. Test equipment, a folder whose name
// ends in "test", may use the sandbox as tests do, and only the like of it, the demo
// and the sandbox may use it.
func mayImport(layers []layer, from *layer, folder, imported string) bool {
	to := layerOf(layers, imported)
	if to == nil {
		return false
	}
	if isTestEquipment(imported) && !isTestEquipment(folder) && to.name != from.name && from.name != "demo" {
		return false
	}
	if isTestEquipment(folder) && (to.name == "sandbox" || to.name == "example") {
		return true
	}
	return to.name == from.name || slices.Contains(from.imports, to.name) || slices.Contains(from.imports, imported)
}

func isTestEquipment(folder string) bool {
	return slices.ContainsFunc(strings.Split(folder, "/"), func(name string) bool { return strings.HasSuffix(name, "test") })
}

// layerOf prefers the longest pattern. Folders named social are the example's.
func layerOf(layers []layer, folder string) (best *layer) {
	if slices.Contains(strings.Split(folder, "/"), "social") {
		folder = "social"
	}
	longest := -1
	for i, l := range layers {
		for _, pattern := range l.patterns {
			prefix, all := strings.CutSuffix(pattern, "/...")
			matches := folder == prefix || all && strings.HasPrefix(folder, prefix+"/")
			if matches && len(prefix) > longest {
				best, longest = &layers[i], len(prefix)
			}
		}
	}
	return best
}

var quoted = regexp.MustCompile("`([^`]+)`")

func readLayers(t *testing.T) []layer {
	t.Helper()
	_, text, found := strings.Cut(read(t, "ARCHITECTURE.md"), "\n| layer | ")
	if !found {
		t.Fatal("ARCHITECTURE.md has no table of layers")
	}
	table, _, _ := strings.Cut(text, "\n\n")
	var layers []layer
	for _, row := range strings.Split(table, "\n")[2:] {
		cells := strings.Split(strings.Trim(row, "|"), "|")
		if len(cells) != 4 {
			t.Fatalf("a row of the table of layers has %d cells, not 4: %s", len(cells), row)
		}
		l := layer{name: strings.TrimSpace(cells[0])}
		for _, m := range quoted.FindAllStringSubmatch(cells[2], -1) {
			l.patterns = append(l.patterns, m[1])
		}
		for _, name := range strings.Split(cells[3], ",") {
			if name = strings.Trim(strings.TrimSpace(name), "`"); name != "" {
				l.imports = append(l.imports, name)
			}
		}
		layers = append(layers, l)
	}
	return layers
}

type goPackage struct {
	ImportPath string
	Imports    []string
}

func (p goPackage) folder() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
}

func listPackages(t *testing.T) (all []goPackage) {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir, cmd.Stderr = root, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(fmt.Errorf("go list: %w", err))
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// tracked are the files of the repository.
func tracked(t *testing.T) []string {
	t.Helper()
	cmd := exec.Command("git", "ls-files")
	cmd.Dir, cmd.Stderr = root, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Skip("SKIPPED: this is no checkout of the repository, or git is not installed")
	}
	return slices.DeleteFunc(strings.Fields(string(out)), func(name string) bool { return !exists(name) }) // some may be deleted
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(path.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
