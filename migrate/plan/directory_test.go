package plan_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/migrate/plan"
)

func directory(t *testing.T, plans map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range plans {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func minimal(entity, more string) string {
	return "entity: " + entity + "\nsource: {collection: " + entity + "}\ntarget: {table: " + entity + "-table}\n" + more
}

// TestPlansOfADirectoryComeInTheOrderOfTheirSwitches: whatever their files are called.
func TestPlansOfADirectoryComeInTheOrderOfTheirSwitches(t *testing.T) {
	all, err := plan.ReadDirectory(directory(t, map[string]string{"a.yaml": minimal("orders", "switchAfter: [users, carts]\n"),
		"b.yml": minimal("carts", "switchAfter: [users]\n"), "c.yaml": minimal("users", ""), "notes.txt": "no plan"}), "shop")
	var names []string
	for _, p := range all {
		names = append(names, p.Entity)
	}
	if err != nil || strings.Join(names, " ") != "users carts orders" {
		t.Errorf("%v, %v", names, err)
	}
}

// TestPlansThatDoNotGoTogetherAreRefused: each in one sentence that names the files.
func TestPlansThatDoNotGoTogetherAreRefused(t *testing.T) {
	users := minimal("users", "unique: [{field: email, table: emails}]\n")
	for name, tc := range map[string]struct{ other, says string }{
		"entity": {strings.Replace(minimal("people", ""), "entity: people", "entity: users", 1), "a.yaml and b.yaml both have the entity users"},
		"collection": {strings.Replace(minimal("people", ""), "{collection: people}", "{database: shop, collection: users}", 1),
			"both have the collection shop.users"},
		"table":          {strings.Replace(minimal("people", ""), "people-table", "users-table", 1), "both have the table users-table"},
		"unique table":   {minimal("people", "unique: [{field: name, table: emails}]\n"), "both have the table emails"},
		"table of both":  {strings.Replace(minimal("people", ""), "people-table", "emails", 1), "both have the table emails"},
		"unknown":        {minimal("orders", "switchAfter: [usrs]\n"), `b.yaml: switchAfter names the entity "usrs"`},
		"no plan at all": {"entity: [", "b.yaml:1:"},
	} {
		dir := directory(t, map[string]string{"a.yaml": users, "b.yaml": tc.other})
		_, err := plan.ReadDirectory(dir, "shop")
		if !errors.Is(err, plan.ErrInvalid) {
			t.Fatalf("%s: %v", name, err)
		}
		if text := strings.ReplaceAll(err.Error(), dir+"/", ""); !strings.Contains(text, tc.says) || strings.Contains(text, "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, tc := range map[string]struct {
		plans map[string]string
		says  string
	}{
		"circle": {map[string]string{"a.yaml": minimal("a", "switchAfter: [b]\n"), "b.yaml": minimal("b", "switchAfter: [c]\n"),
			"c.yaml": minimal("c", "switchAfter: [a]\n"), "d.yaml": minimal("d", "")}, "a, b, c wait for each other"},
		"none": {map[string]string{"a.txt": "none"}, "has no plans"},
	} {
		if _, err := plan.ReadDirectory(directory(t, tc.plans), "shop"); !errors.Is(err, plan.ErrInvalid) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := strings.Replace(minimal("people", ""), "{collection: people}", "{database: archive, collection: users}", 1)
	if _, err := plan.ReadDirectory(directory(t, map[string]string{"a.yaml": users, "b.yaml": other}), "shop"); err != nil {
		t.Errorf("the same name in two databases: %v", err)
	}
}
