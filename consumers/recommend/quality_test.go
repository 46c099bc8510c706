package recommend_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/banyan-fig/banyan/consumers/recommend"
)

// network is a generated graph: whom a user follows falls off with their rank, so that few
// have very many followers, and half of the follows close a triangle, as people's do.
type network struct {
	out    [][]int
	sorted map[int][]string // as the table would have them, once asked for
}

func newNetwork(r *rand.Rand, users, mean int) *network {
	n := &network{out: make([][]int, users), sorted: map[int][]string{}}
	popular := func() int { return int(float64(users) * math.Pow(r.Float64(), 3)) }
	for u := range users {
		degree := max(2, int(float64(mean)*0.6*math.Pow(1-r.Float64(), -0.55))) // power law, exponent 2.8
		for range min(degree, users/20) {
			v := popular()
			if len(n.out[u]) > 0 && r.IntN(2) == 0 {
				via := n.out[n.out[u][r.IntN(len(n.out[u]))]]
				if len(via) > 0 {
					v = via[r.IntN(len(via))]
				}
			}
			if v != u && !slices.Contains(n.out[u], v) {
				n.out[u] = append(n.out[u], v)
			}
		}
	}
	return n
}

func (n *network) Connections(user string, limit int) ([]string, bool) {
	u, _ := strconv.Atoi(user)
	if n.sorted[u] == nil {
		byHash := map[string]string{}
		for _, v := range n.out[u] {
			id := strconv.Itoa(v)
			byHash[recommend.Sample(user, id)+id] = id
		}
		n.sorted[u] = []string{}
		for _, hash := range slices.Sorted(maps.Keys(byHash)) {
			n.sorted[u] = append(n.sorted[u], byHash[hash])
		}
	}
	all := n.sorted[u]
	return all[:min(limit, len(all))], len(all) > limit
}

func (n *network) Connected(user, other string) bool {
	u, _ := strconv.Atoi(user)
	v, _ := strconv.Atoi(other)
	return slices.Contains(n.out[u], v)
}

// counts is the brute-force answer.
func (n *network) counts(u int) map[string]int {
	counts := map[string]int{}
	for _, via := range n.out[u] {
		for _, v := range n.out[via] {
			counts[strconv.Itoa(v)]++
		}
	}
	delete(counts, strconv.Itoa(u))
	for _, v := range n.out[u] {
		delete(counts, strconv.Itoa(v))
	}
	return counts
}

// quality compares the first k of a list with the brute-force answer. Who has as many shared
// connections as the last of the true k is as right as that one; who has more is missed.
func quality(list []recommend.Suggestion, counts map[string]int, k int) (precision, recall float64, ok bool) {
	var all []int
	for _, c := range counts {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b int) int { return b - a })
	if len(all) < k {
		return 0, 0, false
	}
	threshold, better, right, found := all[k-1], 0, 0, 0
	for _, c := range all[:k] {
		if c > threshold {
			better++
		}
	}
	for _, s := range list[:min(k, len(list))] {
		if c := counts[s.ID]; c >= threshold {
			right++
			if c > threshold {
				found++
			}
		}
	}
	if better == 0 {
		return float64(right) / float64(k), 1, true
	}
	return float64(right) / float64(k), float64(found) / float64(better), true
}

// TestQuality compares the lists with brute force: on 100,000 users where make bench-recommend
// runs it, otherwise on a few.
func TestQuality(t *testing.T) {
	users, asked := 2000, 40
	if n, err := strconv.Atoi(os.Getenv("BANYAN_RECOMMEND_USERS")); err == nil {
		users, asked = n, 2000
	}
	r := rand.New(rand.NewPCG(1, 1))
	n := newNetwork(r, users, 30)
	edges, most := 0, 0
	followers := make([]int, users)
	for _, out := range n.out {
		edges, most = edges+len(out), max(most, len(out))
		for _, v := range out {
			followers[v]++
		}
	}
	fmt.Printf("%d users, %d connections; most connections %d, most followers %d\n", users, edges, most, slices.Max(followers))
	for _, b := range []struct{ breadth, depth int }{{25, 50}, {50, 100}, {100, 200}, {200, 400}} {
		p, rec := n.measure(t, r, asked, b.breadth, b.depth, func(int) *network { return n })
		fmt.Printf("breadth %3d, depth %3d: precision@10 %.3f, recall@10 %.3f\n", b.breadth, b.depth, p, rec)
		if b.breadth == 100 && (p < 0.9 || rec < 0.9) {
			t.Errorf("with the default bounds precision@10 is %.3f and recall@10 %.3f", p, rec)
		}
	}
	for _, fanout := range []int{0, 25} {
		old, due := n.before(r, 0.05, fanout, followers)
		dueCount := 0
		p, rec := n.measure(t, r, asked, 100, 200, func(u int) *network {
			if due[u] {
				dueCount++
				return n
			}
			return old
		})
		fmt.Printf("5 %% of the connections are new, fan-out %d, %d of %d lists derived since: precision@10 %.3f, recall@10 %.3f\n", fanout, dueCount, asked, p, rec)
	}
}

// measure is the mean quality of the lists of some users, each derived from one of two networks.
func (n *network) measure(t *testing.T, r *rand.Rand, asked, breadth, depth int, of func(user int) *network) (precision, recall float64) {
	t.Helper()
	compared := 0.0
	for range asked {
		u := r.IntN(len(n.out))
		list, err := recommend.Suggest(t.Context(), of(u), strconv.Itoa(u), breadth, depth, 100)
		if err != nil {
			t.Fatal(err)
		}
		if p, rec, ok := quality(list, n.counts(u), 10); ok {
			precision, recall, compared = precision+p, recall+rec, compared+1
		}
	}
	if compared == 0 {
		t.Fatal("no user has 10 candidates")
	}
	return precision / compared, recall / compared
}

// before is the network without a share of its connections, chosen at random, and who was due
// when these came: whose own they were, and of each a sample of those who follow its user.
func (n *network) before(r *rand.Rand, share float64, fanout int, followers []int) (old *network, due []bool) {
	old, due = &network{out: make([][]int, len(n.out)), sorted: map[int][]string{}}, make([]bool, len(n.out))
	changes := make([]int, len(n.out))
	for u, out := range n.out {
		for _, v := range out {
			if r.Float64() < share {
				changes[u]++
				due[u] = true
			} else {
				old.out[u] = append(old.out[u], v)
			}
		}
	}
	for u, out := range old.out {
		for _, v := range out {
			for range changes[v] {
				due[u] = due[u] || r.IntN(max(followers[v], 1)) < fanout
			}
		}
	}
	return old, due
}
