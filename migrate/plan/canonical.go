package plan

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Canonical writes what decides where data goes and how it is encoded, one setting a line
// as "target.table: users": entity, source, target, unique, fields, computed, ttl, outbox.field and deepNesting,
// and of those what is not a default. Two plans that do the same have the same text, however they
// are written; a setting that a later Banyan adds changes no text of a plan without it.
// Where the database of MONGODB_URI is meant, set Source.Database to it before.
func (p *Plan) Canonical() string {
	var out strings.Builder
	line := func(path, value, byDefault string) {
		if value != byDefault {
			fmt.Fprintf(&out, "%s: %s\n", path, plain(value))
		}
	}
	line("entity", p.Entity, "")
	line("source.database", p.Source.Database, "")
	line("source.collection", p.Source.Collection, "")
	line("target.table", p.Target.Table, "")
	line("target.key.attribute", cmp.Or(p.Target.Key.Attribute, "id"), "id")
	line("target.key.from", cmp.Or(p.Target.Key.From, "_id"), "_id")
	line("target.key.type", p.Target.Key.Type, "objectId")
	line("target.key.template", p.Target.Key.Template, "")
	for i, part := range p.Target.Key.Parts {
		path := fmt.Sprintf("target.key.parts.%d", i+1)
		line(path+".field", part.Field, "")
		line(path+".type", part.Type, "")
		line(path+".template", part.Template, "")
		line(path+".attribute", cmp.Or(part.Attribute, []string{"pk", "sk"}[i%2]), "")
	}
	constraints := map[string]*Unique{} // their order does not matter
	for i := range p.Unique {
		constraints[p.Unique[i].Name()] = &p.Unique[i]
	}
	for _, name := range slices.Sorted(maps.Keys(constraints)) {
		u, path := constraints[name], "unique."+plain(name)
		line(path+".table", u.Table, "")
		line(path+".collation", u.Collation, "")
		for _, w := range u.Where {
			line(path+".where."+plain(w.Field), w.String(), "")
		}
	}
	// The order of the fields does: documents that have it need no hint.
	for i, f := range p.Fields {
		line(fmt.Sprintf("fields.%d", i+1), f.From, "")
	}
	for _, f := range p.Fields {
		path := "fields." + plain(f.From)
		line(path+".to", cmp.Or(f.To, f.From), f.From)
		line(path+".type", f.Type, "")
		line(path+".compressed", strconv.FormatBool(f.Compressed), "false")
		line(path+".drop", strconv.FormatBool(f.Drop), "false")
	}
	for _, c := range p.Computed {
		line("computed."+plain(c.Attribute)+".template", c.Template, "")
	}
	if p.TTL != nil {
		line("ttl.attribute", p.TTL.Attribute, "")
		line("ttl.field", p.TTL.Field, "")
		line("ttl.after", p.TTL.After.String(), "0s")
	}
	line("outbox.field", p.Outbox.Field, "")
	line("deepNesting", p.DeepNesting, "")
	return out.String()
}

var plainText = regexp.MustCompile(`^[A-Za-z_$][\w.$-]*$`)

// plain quotes a text that could be taken for more than one, or for a place in a list.
func plain(text string) string {
	if plainText.MatchString(text) {
		return text
	}
	return strings.ReplaceAll(strconv.Quote(text), ":", `\x3a`)
}

// Digest is the SHA-256 of [Plan.Canonical] in hexadecimal.
func (p *Plan) Digest() string {
	sum := sha256.Sum256([]byte(p.Canonical()))
	return hex.EncodeToString(sum[:])
}

// notSet stands for a setting that a plan leaves at its default.
const notSet = "(not set)"

// Differences compares two texts of [Plan.Canonical] and names each setting that differs,
// such as "target.table: users -> users2".
func Differences(old, new string) []string {
	were, are := settingsOf(old), settingsOf(new)
	var all []string
	for _, path := range slices.Sorted(maps.Keys(were)) {
		if is := cmp.Or(are[path], notSet); is != were[path] {
			all = append(all, fmt.Sprintf("%s: %s -> %s", path, were[path], is))
		}
	}
	for _, path := range slices.Sorted(maps.Keys(are)) {
		if _, both := were[path]; !both {
			all = append(all, fmt.Sprintf("%s: %s -> %s", path, notSet, are[path]))
		}
	}
	return all
}

func settingsOf(canonical string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(canonical) {
		path, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		all[path] = value
	}
	return all
}
