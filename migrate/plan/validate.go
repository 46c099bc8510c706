package plan

import (
	"fmt"
	"regexp"
	"slices"
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
	case strings.Contains(p.Source.Collection, "__banyan_"):
		return "$.source.collection", fmt.Sprintf("source.collection %q has the form of the names that a migration gives, and two would take "+
			"each other's; write the public name, or rename the collection first", p.Source.Collection)
	case !tableName.MatchString(p.Target.Table):
		return "$.target.table", fmt.Sprintf("target.table %q must be 3 to 255 letters, digits, '_', '.' or '-'", p.Target.Table)
	case p.Target.Key.From != "" && p.Target.Key.From != "_id":
		return "$.target.key.from", fmt.Sprintf("target.key.from %q: only _id can be the key", p.Target.Key.From)
	case len(p.Target.Key.Parts) > 0 && p.Target.Key.Attribute != "":
		return "$.target.key.attribute", "target.key.attribute names no attribute beside parts; name those of the parts"
	case p.DeepNesting != "" && p.DeepNesting != "binary":
		return "$.deepNesting", fmt.Sprintf("deepNesting %q is unknown; use binary, or leave it out", p.DeepNesting)
	}
	switch {
	case p.Gate.Reads != WarnReads && p.Gate.Reads != RefuseReads:
		return "$.gate.reads", fmt.Sprintf("gate.reads %q is unknown; use warn or refuse", p.Gate.Reads)
	case p.Gate.Window < 0:
		return "$.gate.window", "gate.window must not be negative"
	}
	if path, what := p.fieldProblem(); what != "" {
		return path, what
	}
	if path, what := p.outboxProblem(); what != "" {
		return path, what
	}
	if path, what := p.uniqueProblem(); what != "" {
		return path, what
	}
	if path, what := p.indexProblem(); what != "" {
		return path, what
	}
	for i, name := range p.Acknowledge {
		if name == "" || slices.Contains(p.Acknowledge[:i], name) {
			return fmt.Sprintf("$.acknowledge[%d]", i), fmt.Sprintf("acknowledge %q must be a name, and be there once; remove it", name)
		}
	}
	for i, name := range p.SwitchAfter {
		if !entityName.MatchString(name) || name == p.Entity || slices.Contains(p.SwitchAfter[:i], name) {
			return fmt.Sprintf("$.switchAfter[%d]", i), fmt.Sprintf("switchAfter %q must name another entity, and once; correct or remove it", name)
		}
	}
	return p.budgetProblem()
}

func (p *Plan) fieldProblem() (path, what string) {
	cfg := p.codecConfig()
	all, derived := cfg.Fields, cfg.Derived
	cfg.Derived = nil
	for n := range len(all) + 1 { // the first one checked is the key's
		cfg.Fields = all[:n]
		c, err := codec.New(cfg)
		if err == nil {
			for _, path := range slices.Concat(c.KeyFields()...) {
				if field, _, _ := strings.Cut(path, "."); p.hidden(field) {
					return "$.target.key", fmt.Sprintf("the key's field %q cannot be compressed or dropped: a service could not make the key", field)
				}
			}
			continue
		}
		what = strings.TrimPrefix(err.Error(), "codec: ")
		if n == 0 {
			return "$.target.key", what
		}
		return fmt.Sprintf("$.fields[%d]", n-1), what
	}
	return p.derivedProblem(cfg, derived)
}

func (p *Plan) derivedProblem(cfg codec.Config, derived []codec.Derived) (path, what string) {
	switch {
	case p.TTL == nil:
	case p.TTL.Field == "" || p.TTL.Field == "_id":
		return "$.ttl.field", "ttl.field is missing; write the date by which documents expire, for instance createdAt"
	case p.hidden(p.TTL.Field):
		return "$.ttl.field", fmt.Sprintf("ttl field %q cannot be compressed or dropped: a service could not change it", p.TTL.Field)
	case p.TTL.After < 0 || p.TTL.After%time.Second != 0:
		return "$.ttl.after", fmt.Sprintf("ttl.after %s must be whole seconds, as expireAfterSeconds is", p.TTL.After)
	}
	for n := range derived {
		path = fmt.Sprintf("$.computed[%d]", n)
		if n == len(p.Computed) {
			path = "$.ttl"
		}
		cfg.Derived = derived[:n+1]
		if _, err := codec.New(cfg); err != nil {
			return path, strings.TrimPrefix(err.Error(), "codec: ")
		}
	}
	return "", ""
}

// hidden reports whether a field's value cannot be read in the table.
func (p *Plan) hidden(field string) bool {
	return slices.ContainsFunc(p.Fields, func(f Field) bool { return f.From == field && (f.Compressed || f.Drop) })
}

func (p *Plan) outboxProblem() (path, what string) {
	field := p.Outbox.Field
	switch {
	case field == "_id" || strings.ContainsAny(field, ".$\x00"):
		return "$.outbox.field", fmt.Sprintf("outbox.field %q must be the name of a top-level field, such as _outbox", field)
	case p.Outbox.Table != "" && !tableName.MatchString(p.Outbox.Table):
		return "$.outbox.table", fmt.Sprintf("outbox.table %q must be 3 to 255 letters, digits, '_', '.' or '-'", p.Outbox.Table)
	}
	return "", ""
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
