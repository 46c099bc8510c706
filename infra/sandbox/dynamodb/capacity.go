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

// usage adds up what one request consumed of one table and its indexes.
type usage struct {
	table  string
	writes bool
	units  float64
}

func (u *usage) write(t *table, units float64) {
	u.table, u.writes = t.name, true
	u.units += units
}

func (u *usage) read(t *table, units float64) {
	u.table = t.name
	u.units += units
}

// appendJSON appends a ConsumedCapacity. split adds the units as read or write units, which
// transactions report.
func (u *usage) appendJSON(out []byte, split bool) []byte {
	out = wire.AppendString(append(out, `{"TableName":`...), u.table)
	out = appendFloat(append(out, `,"CapacityUnits":`...), u.units)
	if split && u.writes {
		out = appendFloat(append(out, `,"WriteCapacityUnits":`...), u.units)
	} else if split {
		out = appendFloat(append(out, `,"ReadCapacityUnits":`...), u.units)
	}
	return append(out, '}')
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
func (us usages) appendField(out []byte, r *request, split bool) []byte {
	if !r.wantsCapacity() {
		return out
	}
	out = append(out, `"ConsumedCapacity":[`...)
	for i, u := range us {
		if i > 0 {
			out = append(out, ',')
		}
		out = u.appendJSON(out, split)
	}
	return append(out, ']', ',')
}

func (r *request) wantsCapacity() bool { return r.capacity == "TOTAL" }

func appendInt(out []byte, n int) []byte { return strconv.AppendInt(out, int64(n), 10) }
