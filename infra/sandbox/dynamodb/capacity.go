package dynamodb

import (
	"strconv"
	"strings"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/wire"
)

// writeUnits is what a write of so many bytes costs: one unit a KB, at least one.
func writeUnits(size int) float64 { return float64(max(1, (size+1023)/1024)) }

// readUnits is what a read of so many bytes costs: one unit for 4 KB, at least one, half of that
// if it need not be consistent.
func readUnits(size int, consistent bool) float64 {
	units := float64(max(1, (size+4095)/4096))
	if consistent {
		return units
	}
	return units / 2
}

// usage adds up what one request consumed of one table.
type usage struct {
	table   string
	writes  bool
	base    float64
	local   []indexUsage
	globals []indexUsage
}

type indexUsage struct {
	name  string
	units float64
}

func (u *usage) write(t *table, units float64) {
	u.table, u.writes = t.name, true
	u.base += units
}

func (u *usage) read(t *table, units float64) {
	u.table = t.name
	u.base += units
}

func (u *usage) index(ix *index, units float64) {
	if units == 0 {
		return
	}
	list := &u.local
	if ix.global {
		list = &u.globals
	}
	for i := range *list {
		if (*list)[i].name == ix.name {
			(*list)[i].units += units
			return
		}
	}
	*list = append(*list, indexUsage{ix.name, units})
}

// times multiplies what was used: transactions cost double.
func (u *usage) times(n float64) {
	u.base *= n
	for i := range u.local {
		u.local[i].units *= n
	}
	for i := range u.globals {
		u.globals[i].units *= n
	}
}

func (u *usage) total() float64 {
	n := u.base
	for _, x := range u.local {
		n += x.units
	}
	for _, x := range u.globals {
		n += x.units
	}
	return n
}

// appendJSON appends a ConsumedCapacity. split adds the units as read or write units, which
// transactions report.
func (u *usage) appendJSON(out []byte, detail string, split bool) []byte {
	out = wire.AppendString(append(out, `{"TableName":`...), u.table)
	out = u.appendUnits(append(out, ','), u.total(), split)
	if detail == "INDEXES" {
		out = u.appendUnits(append(out, `,"Table":{`...), u.base, split)
		out = append(out, '}')
		out = u.appendIndexes(out, "LocalSecondaryIndexes", u.local, split)
		out = u.appendIndexes(out, "GlobalSecondaryIndexes", u.globals, split)
	}
	return append(out, '}')
}

func (u *usage) appendIndexes(out []byte, name string, list []indexUsage, split bool) []byte {
	for i, x := range list {
		if i == 0 {
			out = append(append(append(out, `,"`...), name...), `":{`...)
		} else {
			out = append(out, ',')
		}
		out = append(wire.AppendString(out, x.name), `:{`...)
		out = append(u.appendUnits(out, x.units, split), '}')
	}
	if len(list) > 0 {
		out = append(out, '}')
	}
	return out
}

func (u *usage) appendUnits(out []byte, units float64, split bool) []byte {
	out = appendFloat(append(out, `"CapacityUnits":`...), units)
	if split && u.writes {
		out = appendFloat(append(out, `,"WriteCapacityUnits":`...), units)
	} else if split {
		out = appendFloat(append(out, `,"ReadCapacityUnits":`...), units)
	}
	return out
}

func appendFloat(out []byte, f float64) []byte {
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return append(out, text...)
}

// usages keeps one usage a table.
type usages []*usage

func (us *usages) of(t *table) *usage {
	for _, u := range *us {
		if u.table == t.name {
			return u
		}
	}
	u := &usage{table: t.name}
	*us = append(*us, u)
	return u
}

// appendField appends the ConsumedCapacity of a batch or transaction, if it was asked for.
func (us usages) appendField(out []byte, detail string, split bool) []byte {
	if !wantsCapacity(detail) {
		return out
	}
	out = append(out, `"ConsumedCapacity":[`...)
	for i, u := range us {
		if i > 0 {
			out = append(out, ',')
		}
		out = u.appendJSON(out, detail, split)
	}
	return append(out, ']', ',')
}

func wantsCapacity(detail string) bool { return detail == "TOTAL" || detail == "INDEXES" }

func appendInt(out []byte, n int) []byte { return strconv.AppendInt(out, int64(n), 10) }
