// Package plan is an entity plan: what a migration moves where. It is a YAML file,
// read with [Read] or [Parse]; plan.md beside this file is its reference, and
// plan.schema.json its JSON Schema.
package plan

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/banyan-fig/banyan/migrate/codec"
)

// ErrInvalid is wrapped by every error about an entity plan's text.
var ErrInvalid = errors.New("invalid entity plan")

// maxSize bounds the file that Read accepts.
const maxSize = 1 << 20

// Plan says what moves where: one entity's source collection, its target table,
// its unique constraints and its fields. Read one with Read or Parse.
type Plan struct {
	// Entity names the migration: its ownership record and its state.
	Entity string   `yaml:"entity"`
	Source Source   `yaml:"source"`
	Target Target   `yaml:"target"`
	Unique []Unique `yaml:"unique"`
	Fields []Field  `yaml:"fields"`
	// Stamp is a field that the owning service raises with every write. A change
	// that does not move it is a foreign write. Empty: foreign writes cannot be told.
	Stamp string `yaml:"stamp"`
	// DeepNesting is "binary" to store what is nested too deep as binary BSON;
	// by default such documents stop the plan.
	DeepNesting string  `yaml:"deepNesting"`
	Budgets     Budgets `yaml:"budgets"`

	codec *codec.Codec
}

// Source is the collection to move.
type Source struct {
	Database   string `yaml:"database"` // default: the one in MONGODB_URI
	Collection string `yaml:"collection"`
}

// Target is the table to move it to.
type Target struct {
	Table string `yaml:"table"`
	Key   Key    `yaml:"key"`
}

// Key is the partition key; see codec.Key for the defaults.
type Key struct {
	Attribute string `yaml:"attribute"`
	From      string `yaml:"from"`
	Type      string `yaml:"type"`
}

// Unique is a field no two documents may share. Its entries live in Table, with
// partition key "value" = "<field>#<value>" and attribute "owner" = the item's key.
type Unique struct {
	Field string `yaml:"field"`
	Table string `yaml:"table"`
}

// Field maps one field; see codec.Field.
type Field struct {
	From       string `yaml:"from"`
	To         string `yaml:"to"`
	Type       string `yaml:"type"`
	Compressed bool   `yaml:"compressed"`
}

// Budgets bound what a migration may cost its surroundings. Zero means the
// default given with each.
type Budgets struct {
	Hold         time.Duration `yaml:"hold"`                  // longest hold of writes at the cut-over; 900ms
	Lag          time.Duration `yaml:"lag"`                   // most lag with which a cut-over may begin; 5s
	Verification time.Duration `yaml:"verification"`          // how long a verification counts; 10m
	ForeignQuiet time.Duration `yaml:"foreignQuiet"`          // how long no foreign write must have been seen; 10m
	Tail         int           `yaml:"tail"`                  // most keys left to compare while writes are held; 200
	WriteRate    int           `yaml:"writeRate"`             // write units a second that the target takes; 4000
	WritePrice   float64       `yaml:"pricePerMillionWrites"` // of on-demand write units; 0.625
}

func (b *Budgets) defaults() {
	b.Hold = cmp.Or(b.Hold, 900*time.Millisecond)
	b.Lag = cmp.Or(b.Lag, 5*time.Second)
	b.Verification = cmp.Or(b.Verification, 10*time.Minute)
	b.ForeignQuiet = cmp.Or(b.ForeignQuiet, 10*time.Minute)
	b.Tail = cmp.Or(b.Tail, 200)
	b.WriteRate = cmp.Or(b.WriteRate, 4000)
	b.WritePrice = cmp.Or(b.WritePrice, 0.625)
}

// Read reads a plan from a file. Errors wrap ErrInvalid, and say
// file:line:column and what to do.
func Read(file string) (*Plan, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("read the entity plan: %w; name an existing file with --plan", err)
	}
	if info.Size() > maxSize {
		return nil, fmt.Errorf("%w: %s: %d bytes, allowed are %d", ErrInvalid, file, info.Size(), maxSize)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the entity plan: %w", err)
	}
	return Parse(file, text)
}

// Parse parses a plan; name stands for the file in errors.
func Parse(name string, text []byte) (*Plan, error) {
	p := &Plan{}
	if err := yaml.UnmarshalWithOptions(text, p, yaml.Strict()); err != nil {
		return nil, syntaxError(name, text, err)
	}
	p.Budgets.defaults()
	if path, problem := p.problem(); problem != "" {
		return nil, fmt.Errorf("%w: %s: %s", ErrInvalid, locate(name, text, path), problem)
	}
	c, err := codec.New(p.codecConfig())
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, locate(name, text, "$.target"), err)
	}
	p.codec = c
	return p, nil
}

// syntaxError reduces the parser's picture of the place to file:line:column.
func syntaxError(name string, text []byte, err error) error {
	var at yaml.Error
	if errors.As(err, &at) && at.GetToken() != nil {
		pos := at.GetToken().Position
		hint := "correct it"
		if strings.Contains(at.GetMessage(), "unknown field") {
			hint = "remove it or correct its spelling"
		}
		return fmt.Errorf("%w: %s:%d:%d: %s; %s", ErrInvalid, name, pos.Line, pos.Column, at.GetMessage(), hint)
	}
	where := name + ":1:1"
	if strings.Contains(err.Error(), "duration") { // the parser does not say where
		where = badDuration(name, text)
		err = fmt.Errorf("%w; write durations like 900ms, 5s or 10m", err)
	}
	return fmt.Errorf("%w: %s: %w", ErrInvalid, where, err)
}

// badDuration finds the first budget that is no duration.
func badDuration(name string, text []byte) string {
	for _, budget := range []string{"hold", "lag", "verification", "foreignQuiet"} {
		var value string
		at, err := yaml.PathString("$.budgets." + budget)
		if err != nil || at.Read(bytes.NewReader(text), &value) != nil {
			continue
		}
		if _, err := time.ParseDuration(value); err != nil {
			return locate(name, text, "$.budgets."+budget)
		}
	}
	return name + ":1:1"
}

// locate finds where a path of the plan stands in its text, or the nearest
// parent that is there.
func locate(name string, text []byte, path string) string {
	file, err := parser.ParseBytes(text, 0)
	for err == nil && path != "" {
		if at, pathErr := yaml.PathString(path); pathErr == nil {
			if node, findErr := at.FilterFile(file); findErr == nil && node != nil {
				line, column := place(node)
				return fmt.Sprintf("%s:%d:%d", name, line, column)
			}
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut <= 0 {
			break
		}
		path = path[:cut]
	}
	return name + ":1:1"
}

func place(node ast.Node) (line, column int) {
	if m, ok := node.(*ast.MappingNode); ok && len(m.Values) > 0 {
		node = m.Values[0].Key
	}
	pos := node.GetToken().Position
	return pos.Line, pos.Column
}

var (
	entityName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,100}$`)
	tableName  = regexp.MustCompile(`^[A-Za-z0-9_.-]{3,255}$`)
)

// problem finds the first thing wrong with the plan's content: where, and what.
func (p *Plan) problem() (path, what string) {
	switch {
	case !entityName.MatchString(p.Entity):
		return "$.entity", fmt.Sprintf("entity %q must be 1 to 100 letters, digits, '_', '.' or '-'", p.Entity)
	case p.Source.Collection == "" || strings.ContainsAny(p.Source.Collection, "$\x00") || strings.HasPrefix(p.Source.Collection, "system."):
		return "$.source.collection", fmt.Sprintf("source.collection %q must name a collection; give the one to move", p.Source.Collection)
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
	for i := range all {
		cfg.Fields = all[:i+1]
		if _, err := codec.New(cfg); err != nil && i == 0 {
			cfg.Fields = nil
			if _, keyErr := codec.New(cfg); keyErr != nil {
				return "$.target.key", keyErr.Error()
			}
			return "$.fields[0]", err.Error()
		} else if err != nil {
			return fmt.Sprintf("$.fields[%d]", i), err.Error()
		}
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
		"foreignQuiet": b.ForeignQuiet < 0, "tail": b.Tail < 0, "writeRate": b.WriteRate < 1, "pricePerMillionWrites": b.WritePrice < 0,
	} {
		if bad {
			return "$.budgets." + name, fmt.Sprintf("budget %s is out of range; hold goes from 10ms to 1m, the others must not be negative", name)
		}
	}
	return "", ""
}

func (p *Plan) codecConfig() codec.Config {
	cfg := codec.Config{Key: codec.Key(p.Target.Key), Deep: codec.Deep(p.DeepNesting)}
	for _, f := range p.Fields {
		cfg.Fields = append(cfg.Fields, codec.Field(f))
	}
	return cfg
}

// Codec is the plan's codec.
func (p *Plan) Codec() *codec.Codec { return p.codec }
