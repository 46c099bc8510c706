package plan

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ReadDirectory reads the plans of a directory, which are its files that end in .yaml or .yml.
// Each comes behind those that it names in switchAfter. Plans that name no database mean the
// one given. Errors wrap ErrInvalid: two plans must not have the entity, the collection or a
// table in common, and switchAfter must lead neither outside nor in a circle.
func ReadDirectory(dir, database string) ([]*Plan, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	var all []*Plan
	taken, files := map[string]string{}, map[string]string{}
	for _, entry := range entries {
		file := filepath.Join(dir, entry.Name())
		if ext := filepath.Ext(file); entry.IsDir() || ext != ".yaml" && ext != ".yml" {
			continue
		}
		p, err := Read(file)
		if err != nil {
			return nil, err
		}
		for _, what := range p.claims(database) {
			if other, is := taken[what]; is && other != file {
				return nil, fmt.Errorf("%w: %s and %s both have the %s: correct one, or move it to another directory", ErrInvalid, other, file, what)
			}
			taken[what] = file
		}
		all, files[p.Entity] = append(all, p), file
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: the directory %s has no plans: files that end in .yaml or .yml", ErrInvalid, dir)
	}
	for _, p := range all {
		for _, name := range p.SwitchAfter {
			if files[name] == "" {
				return nil, fmt.Errorf("%w: %s: switchAfter names the entity %q, of which %s has no plan: correct it, or add that plan", ErrInvalid,
					files[p.Entity], name, dir)
			}
		}
	}
	return inOrder(all)
}

// claims are what no other plan may have.
func (p *Plan) claims(database string) []string {
	all := []string{"entity " + p.Entity, "collection " + cmp.Or(p.Source.Database, database) + "." + p.Source.Collection, "table " + p.Target.Table}
	for _, u := range p.Unique {
		all = append(all, "table "+u.Table)
	}
	return all
}

// inOrder puts each plan behind those that it names in switchAfter.
func inOrder(all []*Plan) ([]*Plan, error) {
	var sorted []*Plan
	isSorted := func(name string) bool {
		return slices.ContainsFunc(sorted, func(p *Plan) bool { return p.Entity == name })
	}
	waits := func(p *Plan) bool {
		return slices.ContainsFunc(p.SwitchAfter, func(name string) bool { return !isSorted(name) })
	}
	for left := all; len(left) > 0; {
		i := slices.IndexFunc(left, func(p *Plan) bool { return !waits(p) })
		if i < 0 {
			var names []string
			for _, p := range left {
				names = append(names, p.Entity)
			}
			return nil, fmt.Errorf("%w: the entities %s wait for each other's switch in a circle: correct switchAfter", ErrInvalid, strings.Join(names, ", "))
		}
		sorted, left = append(sorted, left[i]), slices.Delete(slices.Clone(left), i, i+1)
	}
	return sorted, nil
}
