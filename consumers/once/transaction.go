package once

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// transaction is jobs on their way together. Keys that are written or checked
// belong to one job, counters may be shared.
type transaction struct {
	jobs   []*job
	owned  map[Key]bool
	counts map[Key]bool
	bytes  int

	ctx     context.Context // ends with the transaction's time, or when nobody waits
	cancel  context.CancelFunc
	awaited int // its jobs whose callers wait, under the group's lock
}

func (t *transaction) begin(ctx context.Context, timeout time.Duration) {
	t.ctx, t.cancel = context.WithTimeout(ctx, timeout)
	t.awaited = len(t.jobs)
	for _, j := range t.jobs {
		j.in = t
	}
}

func (t *transaction) items() int { return len(t.owned) + len(t.counts) }

func (t *transaction) full() bool { return t.items() >= maxItems }

// take adds j if it fits.
func (t *transaction) take(j *job) bool {
	if len(t.jobs) > 0 && !t.fits(j) {
		return false
	}
	for _, i := range j.step.Items {
		t.owned[i.key] = true
	}
	for _, a := range j.step.Adds {
		t.counts[a.Key] = true
	}
	t.bytes += j.size
	t.jobs = append(t.jobs, j)
	return true
}

func (t *transaction) fits(j *job) bool {
	if t.bytes+j.size > maxBytes {
		return false
	}
	more := len(j.step.Items)
	for _, i := range j.step.Items {
		if t.owned[i.key] || t.counts[i.key] {
			return false
		}
	}
	for _, a := range j.step.Adds {
		if t.owned[a.Key] {
			return false
		}
		if !t.counts[a.Key] {
			more++
		}
	}
	return t.items()+more <= maxItems
}

// line is one item of the request and the jobs that it is there for.
type line struct {
	write types.TransactWriteItem
	jobs  []*job
}

// lines is the request: the items of every job, then the counters, summed up.
func lines(table string, jobs []*job) []line {
	var out []line
	sums := map[Key]map[string]int64{}
	sharers := map[Key][]*job{}
	for _, j := range jobs {
		for _, i := range j.step.Items {
			out = append(out, line{i.write(table), []*job{j}})
		}
		for _, a := range j.step.Adds {
			if sums[a.Key] == nil {
				sums[a.Key] = map[string]int64{}
			}
			for name, n := range a.Deltas {
				sums[a.Key][name] += n
			}
			sharers[a.Key] = append(sharers[a.Key], j)
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(sums), Key.compare) {
		out = append(out, line{addition(table, k, sums[k]), sharers[k]})
	}
	return out
}

func (k Key) compare(o Key) int {
	return strings.Compare(k.PK+"\x00"+k.SK, o.PK+"\x00"+o.SK)
}

func addition(table string, k Key, sums map[string]int64) types.TransactWriteItem {
	names, values := map[string]string{}, Attributes{}
	var parts []string
	for i, name := range slices.Sorted(maps.Keys(sums)) {
		ref := string(rune('a' + i))
		names["#"+ref], values[":"+ref] = name, N(sums[name])
		parts = append(parts, "#"+ref+" :"+ref)
	}
	add := "ADD " + strings.Join(parts, ", ")
	return types.TransactWriteItem{Update: &types.Update{TableName: &table, Key: k.Attributes(),
		UpdateExpression: &add, ExpressionAttributeNames: names, ExpressionAttributeValues: values}}
}
