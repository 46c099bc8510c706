package fault

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
)

// maxCounters bounds what the injector remembers: beyond so many different
// (service, operation, resource) the resource no longer takes part.
const maxCounters = 10_000

// Injector is a plan at work. It is safe for concurrent use. A nil *Injector
// injects nothing.
type Injector struct {
	seed uint64

	mu     sync.Mutex
	on     bool
	plan   Plan
	rules  map[string]Rule
	calls  map[call]uint64
	counts map[Count]int
}

type call struct{ service, operation, resource string }

// Count is how often one kind of fault was injected into one operation.
type Count struct {
	Service   string `json:"service"`
	Operation string `json:"operation"`
	Kind      string `json:"kind"`
	N         int    `json:"n"`
}

// New starts a plan, switched on. The error is Plan.Validate's.
func New(plan Plan, seed uint64) (*Injector, error) {
	in := &Injector{seed: seed, on: true, calls: map[call]uint64{}, counts: map[Count]int{}}
	return in, in.SetPlan(plan)
}

// SetPlan replaces the plan from the next call on; counters go on counting.
func (in *Injector) SetPlan(plan Plan) error {
	if err := plan.Validate(); err != nil {
		return err
	}
	plan.Delay = cmp.Or(plan.Delay, DefaultDelay)
	rules := make(map[string]Rule, len(plan.Rules))
	for _, r := range plan.Rules {
		rules[ruleKey(r.Service, r.Operation)] = r
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.plan, in.rules = plan, rules
	return nil
}

// Switch turns injection on or off. Calls made while off are not counted, so
// that a quiet preparation does not move the faults of what follows.
func (in *Injector) Switch(on bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.on = on
}

// Draw decides about the next call of operation on resource ("" if it has
// none).
func (in *Injector) Draw(service, operation, resource string) Fault {
	if in == nil {
		return Fault{}
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.on || len(in.rules) == 0 {
		return Fault{}
	}
	rule, ok := in.match(service, operation)
	if !ok {
		return Fault{}
	}
	seed := in.next(call{service, operation, resource})
	kind := rule.choose(seed)
	if kind == None {
		return Fault{}
	}
	in.counts[Count{Service: service, Operation: operation, Kind: kind.String()}]++
	return Fault{Kind: kind, Delay: in.plan.Delay, Seed: mix(seed ^ 0x9e3779b97f4a7c15)}
}

func (in *Injector) match(service, operation string) (Rule, bool) {
	for _, key := range [...]string{
		ruleKey(service, operation), ruleKey(service, Any), ruleKey(Any, operation), ruleKey(Any, Any),
	} {
		if r, ok := in.rules[key]; ok {
			return r, true
		}
	}
	return Rule{}, false
}

// next numbers the calls of one kind and turns the number into 64 random bits.
func (in *Injector) next(c call) uint64 {
	if _, known := in.calls[c]; !known && len(in.calls) >= maxCounters {
		c.resource = ""
	}
	in.calls[c]++
	h := fnv.New64a()
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], in.seed)
	binary.LittleEndian.PutUint64(b[8:], in.calls[c])
	h.Write(b[:])
	h.Write([]byte(strings.Join([]string{c.service, c.operation, c.resource}, "\x00")))
	return mix(h.Sum64())
}

// mix is the finaliser of splitmix64: FNV alone is too regular in its high
// bits for neighbouring numbers.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (r Rule) choose(bits uint64) Kind {
	x := float64(bits>>11) / (1 << 53)
	for k := Throttle; int(k) < len(kindNames); k++ {
		if x < r.Odds[k] {
			return k
		}
		x -= r.Odds[k]
	}
	return None
}

// Counts returns what was injected so far, sorted.
func (in *Injector) Counts() []Count {
	if in == nil {
		return nil
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	out := make([]Count, 0, len(in.counts))
	for c, n := range in.counts {
		c.N = n
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Operation, b.Operation), cmp.Compare(a.Kind, b.Kind))
	})
	return out
}

// Total returns how many faults were injected so far.
func (in *Injector) Total() int {
	n := 0
	for _, c := range in.Counts() {
		n += c.N
	}
	return n
}
