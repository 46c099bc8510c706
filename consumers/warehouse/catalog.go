package warehouse

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/banyan-fig/banyan/events"
)

// Type is the type of a column.
type Type int

// Types of columns, see the package comment.
const (
	Text Type = iota
	Integer
	Float
	Boolean
	Timestamp
	JSON // as text
)

// Column is a column of a table. All but event_position and event_type may be null.
type Column struct {
	Name string
	Type Type
	// Member of the data that it holds. "": it is of the envelope.
	Member string
	// Version is the first that has the column; 0 for the envelope.
	Version int
}

// Table has the events of a type, in all versions.
type Table struct {
	Name string
	// Type of its events. "": all types that the catalog lacks.
	Type    string
	Columns []Column // the envelope's first, the others in the order in which they were added

	members map[int]map[string]int // columns of members, by version
	newest  int
}

// Catalog is the tables of all types. Safe for concurrent use.
type Catalog struct {
	tables map[string]*Table // by type
	other  *Table
}

// other is the name of the table of all types that the catalog lacks.
const other = "other"

// maxColumns is less than Redshift's 1,600; the members beyond go to event_rest.
const maxColumns = 1500

// Tables lists the tables by name; the last is that of the other types.
func (c *Catalog) Tables() []*Table {
	tables := slices.SortedFunc(maps.Values(c.tables), func(a, b *Table) int { return compare(a.Name, b.Name) })
	return append(tables, c.other)
}

// ReadCatalogFile is [ReadCatalog] for a file.
func ReadCatalogFile(name string) (*Catalog, error) {
	document, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("warehouse: %w", err)
	}
	c, err := ReadCatalog(document)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

// ReadCatalog makes the tables of an AsyncAPI document as schema.AsyncAPI writes it, or of
// another in JSON whose messages have the same form. It refuses two types whose tables would
// have the same name.
func ReadCatalog(document []byte) (*Catalog, error) {
	found, err := readMessages(document)
	if err != nil {
		return nil, fmt.Errorf("warehouse: read an AsyncAPI document in JSON: %w", err)
	}
	c := &Catalog{tables: map[string]*Table{}, other: newTable(other, "")}
	names := map[string]string{other: "the table of all other types"}
	for _, m := range found {
		t := c.tables[m.eventType]
		if t == nil {
			name := columnName(m.eventType)
			if name == "" {
				return nil, fmt.Errorf("warehouse: type %q gives no name for a table: it needs a letter from a to z, and at most %d characters", m.eventType, maxName)
			}
			if taken, ok := names[name]; ok {
				return nil, fmt.Errorf("warehouse: type %q would have the table %s, as has %s: leave one of them out of the document", m.eventType, name, taken)
			}
			t = newTable(name, m.eventType)
			c.tables[m.eventType], names[name] = t, fmt.Sprintf("type %q", m.eventType)
		}
		if t.newest == m.version {
			return nil, fmt.Errorf("warehouse: two messages have the type %q version %d", m.eventType, m.version)
		}
		t.addVersion(m)
	}
	return c, nil
}

// message is a version of a type.
type message struct {
	eventType string
	version   int
	data      map[string]any // its schema
}

// readMessages lists the messages by type and version.
func readMessages(document []byte) ([]message, error) {
	var parsed struct {
		Components struct {
			Messages map[string]struct {
				Payload struct {
					Schema struct {
						Properties struct {
							Type        struct{ Const string }
							DataVersion struct{ Const int }
							Data        map[string]any
						}
					}
				}
			}
		}
	}
	if err := json.Unmarshal(document, &parsed); err != nil {
		return nil, err
	}
	var all []message
	for key, m := range parsed.Components.Messages {
		p := m.Payload.Schema.Properties
		if p.Type.Const == "" || p.DataVersion.Const < 1 {
			return nil, fmt.Errorf("message %q lacks payload.schema.properties.type.const or dataversion.const", key)
		}
		all = append(all, message{p.Type.Const, p.DataVersion.Const, p.Data})
	}
	if len(all) == 0 {
		return nil, errors.New("it has no messages under components.messages")
	}
	slices.SortFunc(all, func(a, b message) int {
		if a.eventType != b.eventType {
			return compare(a.eventType, b.eventType)
		}
		return a.version - b.version
	})
	return all, nil
}

func newTable(name, eventType string) *Table {
	return &Table{Name: name, Type: eventType, Columns: slices.Clone(envelope), members: map[int]map[string]int{}}
}

// addVersion gives each member of a version later than all before a column, if it can have
// one.
func (t *Table) addVersion(m message) {
	columns := map[string]int{}
	types := memberTypes(m.data)
	for _, member := range slices.Sorted(maps.Keys(types)) {
		name := dataColumnName(member)
		i, ok := t.columnFor(member, name, types[member], m.version)
		if !ok {
			i, ok = t.columnFor(member, fmt.Sprintf("%s_v%d", name, m.version), types[member], m.version)
		}
		if ok && name != "" {
			columns[member] = i
		}
	}
	t.members[m.version], t.newest = columns, m.version
}

// columnFor returns the column with a name, which it adds. It reports whether that is the
// member's, and of the type.
func (t *Table) columnFor(member, name string, typ Type, version int) (int, bool) {
	i := slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == name })
	if i >= 0 {
		return i, t.Columns[i].Member == member && t.Columns[i].Type == typ
	}
	if len(name) > maxName || len(t.Columns) == maxColumns {
		return 0, false
	}
	t.Columns = append(t.Columns, Column{name, typ, member, version})
	return len(t.Columns) - 1, true
}

// find returns the table of an event, and the columns of its members by name. A version that
// the catalog lacks is read as the newest that it has.
func (c *Catalog) find(e events.Event) (*Table, map[string]int) {
	t := c.tables[e.Type]
	if t == nil {
		return c.other, nil
	}
	if members, ok := t.members[e.Version]; ok {
		return t, members
	}
	return t, t.members[t.newest]
}
