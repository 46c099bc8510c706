package demo

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/linktest"
)

// network is the network between banyan-migrate and MongoDB under chaos: it loses,
// delays and repeats commands, by the seed. A late command finds a world that has moved
// on: its sender saw a broken connection, and has tried again or died since.
type network struct {
	link  *linktest.Link
	proxy *linktest.Proxy
	uri   string // of the proxy

	mu    sync.Mutex
	r     *rand.Rand
	calm  bool
	count commandCount
}

// commandCount is what became of commands.
type commandCount struct {
	lost, late, repeated int64
	longest              time.Duration // delay
}

// The odds of one command. Those that change names are few, and matter most.
const (
	loseDDL, lateDDL, repeatDDL       = 0.06, 0.20, 0.10
	loseOther, lateOther, repeatOther = 0.001, 0.002, 0.002
	longLate                          = 0.03 // of the late ones, up to longestLate
	meanLate, longestLate             = 700 * time.Millisecond, time.Minute
)

var changesNames = map[string]bool{"renameCollection": true, "create": true, "drop": true, "collMod": true}

// newNetwork leads to the server at a URI. It returns nil where the URI names several
// servers, or one that wants TLS: commands cannot be told apart there.
func newNetwork(uri string, seed uint64) (*network, error) {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "mongodb" || strings.Contains(u.Host, ",") {
		return nil, nil
	}
	q := u.Query()
	if q.Get("tls") == "true" || q.Get("ssl") == "true" {
		return nil, nil
	}
	n := &network{r: rand.New(rand.NewPCG(seed, 0x1A7E))}
	n.link = &linktest.Link{Choose: n.choose, DelayOf: n.delay}
	server := u.Host
	if u.Port() == "" {
		server += ":27017"
	}
	if n.proxy, err = n.link.StartProxy(server); err != nil {
		return nil, err
	}
	u.Host = n.proxy.Addr()
	q.Set("directConnection", "true") // or the driver follows the replica set past the proxy
	u.RawQuery = q.Encode()
	n.uri = u.String()
	return n, nil
}

func (n *network) choose(c linktest.Command) linktest.Fate {
	n.mu.Lock()
	defer n.mu.Unlock()
	lose, late, repeat := loseOther, lateOther, repeatOther
	if changesNames[c.Name] {
		lose, late, repeat = loseDDL, lateDDL, repeatDDL
	}
	p := n.r.Float64()
	switch {
	case n.calm:
	case p < lose:
		n.count.lost++
		return linktest.Lose
	case p < lose+late:
		n.count.late++
		return linktest.Late
	case p < lose+late+repeat && repeatable(c):
		n.count.repeated++
		return linktest.Repeat
	}
	return linktest.Deliver
}

// repeatable reports whether a command may come once more over another connection, which
// no network does. What gives and takes the public name is safe because the connections
// that it may come over are seen; see package fence. A getMore has a cursor give what comes
// next: repeated, it takes that from the one who reads, so no driver sends it again.
func repeatable(c linktest.Command) bool {
	from, _ := bson.Raw(c.Body).Lookup("renameCollection").StringValueOK()
	_, name, _ := strings.Cut(from, ".")
	return c.Name != "drop" && c.Name != "getMore" && (c.Name != "renameCollection" || strings.Contains(name, "__banyan_"))
}

func (n *network) delay(linktest.Command) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	d := 20*time.Millisecond + time.Duration(n.r.ExpFloat64()*float64(meanLate))
	if n.r.Float64() < longLate {
		d = time.Duration(n.r.Float64() * float64(longestLate))
	}
	n.count.longest = max(n.count.longest, d)
	return d
}

// calmDown ends the trouble, and waits until all late commands have arrived.
func (n *network) calmDown() {
	n.mu.Lock()
	n.calm = true
	n.mu.Unlock()
	n.link.AwaitLate()
}

func (n *network) counted() commandCount {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.count
}

// startNetwork puts the network between banyan-migrate and MongoDB.
func (w *World) startNetwork() (err error) {
	if w.network, err = newNetwork(w.vars["MONGODB_URI"], w.cfg.Seed); err != nil {
		return fmt.Errorf("lead banyan-migrate over a proxy: %w", err)
	}
	if w.network == nil {
		w.screen.step("chaos: commands to MongoDB are not delayed, since MONGODB_URI names more than one server without TLS")
		return nil
	}
	w.screen.step("chaos: some commands of banyan-migrate to MongoDB are lost, come again, or arrive up to %s late", longestLate)
	return nil
}
