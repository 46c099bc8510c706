package deploy

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Load reads the package for a function from what was built into a folder. name
// is that of the package; empty, it is the longest that the function's name is or
// ends with after a "-": prod-profile is profile. An archive that is not the one
// of the manifest is refused.
func Load(dir, function, name, architecture string) (Package, error) {
	content, err := os.ReadFile(filepath.Join(dir, ManifestFile))
	if err != nil {
		return Package{}, fmt.Errorf("read the manifest: %w; build first (banyan-deploy build)", err)
	}
	var m Manifest
	if err := json.Unmarshal(content, &m); err != nil {
		return Package{}, fmt.Errorf("read the manifest in %s: %w; build again", dir, err)
	}
	a, err := m.find(function, name, architecture)
	if err != nil {
		return Package{}, err
	}
	archive, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(a.File)))
	if err != nil {
		return Package{}, fmt.Errorf("read the package: %w; build again", err)
	}
	if got := Digest(archive); got != a.CodeSHA256 {
		return Package{}, fmt.Errorf("%s has the SHA-256 %s, its manifest says %s; build again", a.File, got, a.CodeSHA256)
	}
	return Package{Zip: archive, Architecture: a.Architecture, Commit: m.Commit}, nil
}

func (m Manifest) find(function, name, architecture string) (best Artifact, err error) {
	var names []string
	for _, a := range m.Packages {
		if a.Architecture != architecture {
			continue
		}
		names = append(names, a.Name)
		fits := a.Name == name || name == "" && (function == a.Name || strings.HasSuffix(function, "-"+a.Name))
		if fits && len(a.Name) > len(best.Name) {
			best = a
		}
	}
	if best.Name != "" {
		return best, nil
	}
	slices.Sort(names)
	what, there := "a package for the function "+function, strings.Join(names, ", ")
	if name != "" {
		what = "the package " + name
	}
	return best, fmt.Errorf("%s was not built for %s (built were: %s); name another (--package), or build it (banyan-deploy build)",
		what, architecture, cmp.Or(there, "none"))
}
