package plan

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/migrate/codec"
)

var (
	entityName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,100}$`)
	tableName  = regexp.MustCompile(`^[A-Za-z0-9_.-]{3,255}$`)
)

// findProblem finds the first thing wrong with the plan's content: where, and what.
func (p *Plan) findProblem() (path, what string) {
	for _, required := range []struct{ path, value, example string }{
		{"entity", p.Entity, "users"}, {"source.collection", p.Source.Collection, "users"}, {"target.table", p.Target.Table, "users"},
	} {
		if required.value == "" {
			return "$." + required.path, fmt.Sprintf("%s is missing; write it, for instance %s", required.path, required.example)
		}
	}
	switch {
	case !entityName.MatchString(p.Entity):
		return "$.entity", fmt.Sprintf("entity %q must be 1 to 100 letters, digits, '_', '.' or '-'", p.Entity)
	case strings.ContainsAny(p.Source.Collection, "$\x00") || strings.HasPrefix(p.Source.Collection, "system."):
		return "$.source.collection", fmt.Sprintf("source.collection %q cannot be moved; name a collection of the application", p.Source.Collection)
	case !tableName.MatchString(p.Target.Table):
		return "$.target.table", fmt.Sprintf("target.table %q must be 3 to 255 letters, digits, '_', '.' or '-'", p.Target.Table)
	case p.Target.Key.From != "" && p.Target.Key.From != "_id":
		return "$.target.key.from", fmt.Sprintf("target.key.from %q: only _id can be the key", p.Target.Key.From)
	case p.DeepNesting != "" && p.DeepNesting != "binary":
		return "$.deepNesting", fmt.Sprintf("deepNesting %q is unknown; use binary, or leave it out", p.DeepNesting)
	}
	if path, what := p.fieldProblem(); what != "" {
		return path, what
	}
	if path, what := p.uniqueProblem(); what != "" {
		return path, what
	}
	return p.budgetProblem()
}

func (p *Plan) fieldProblem() (path, what string) {
	cfg := p.codecConfig()
	all := cfg.Fields
	for n := range len(all) + 1 { // the first one checked is the key's
		cfg.Fields = all[:n]
		_, err := codec.New(cfg)
		if err == nil {
			continue
		}
		what = strings.TrimPrefix(err.Error(), "codec: ")
		if n == 0 {
			return "$.target.key", what
		}
		return fmt.Sprintf("$.fields[%d]", n-1), what
	}
	return "", ""
}

func (p *Plan) uniqueProblem() (path, what string) {
	tables := map[string]bool{p.Target.Table: true}
	for i, u := range p.Unique {
		switch {
		case u.Field == "" || u.Field == "_id" || strings.Contains(u.Field, "."):
			return fmt.Sprintf("$.unique[%d].field", i), fmt.Sprintf("unique field %q must be a top-level field other than _id", u.Field)
		case !tableName.MatchString(u.Table):
			return fmt.Sprintf("$.unique[%d].table", i), fmt.Sprintf("unique table %q must be 3 to 255 letters, digits, '_', '.' or '-'", u.Table)
		case tables[u.Table]:
			return fmt.Sprintf("$.unique[%d].table", i), fmt.Sprintf("table %q is used twice; each constraint needs its own", u.Table)
		case p.compressed(u.Field):
			return fmt.Sprintf("$.unique[%d].field", i), fmt.Sprintf("unique field %q cannot be compressed", u.Field)
		}
		tables[u.Table] = true
	}
	return "", ""
}

func (p *Plan) compressed(field string) bool {
	for _, f := range p.Fields {
		if f.From == field {
			return f.Compressed
		}
	}
	return false
}

func (p *Plan) budgetProblem() (path, what string) {
	b := p.Budgets
	for name, bad := range map[string]bool{
		"hold": b.Hold < 10*time.Millisecond || b.Hold > time.Minute, "lag": b.Lag < 0, "verification": b.Verification < 0,
		"outOfBandQuiet": b.OutOfBandQuiet < 0, "tail": b.Tail < 0, "writeRate": b.WriteRate < 1, "pricePerMillionWrites": b.WritePrice < 0,
	} {
		if bad {
			return "$.budgets." + name, fmt.Sprintf("budget %s is out of range; hold goes from 10ms to 1m, the others must not be negative", name)
		}
	}
	return "", ""
}
