//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/banyan-fig/banyan/infra/figures"
	"github.com/banyan-fig/banyan/proxy"
	"github.com/banyan-fig/banyan/proxy/shadow"
)

// The cases, and the proxies.
const (
	caseCPU     = "cpu"
	caseLatency = "latency"
	caseShadow  = "shadow"
	caseMemory  = "memory"
	caseReload  = "reload"

	nginx        = "nginx"
	haproxy      = "haproxy"
	caddy        = "caddy"
	reverseProxy = "reverseproxy"
	banyan       = "banyan-proxy"
)

// The targets.
const (
	passedRatio  = 3.0 // of nginx's CPU, but for mapped answers
	mappedRatio  = 4.5
	latencyRatio = 1.5 // of nginx's 99th percentile
	shadowRatio  = 1.05
	idleKB       = 25
	reloadMillis = 100
)

// The sizes.
const (
	connections  = 64
	fewRoutes    = 4
	manyRoutes   = 1000
	reloadRoutes = 5000
)

// measurement runs the cases.
type measurement struct {
	flags
	world  *world
	report figures.Report
	others []*contestant // nginx first, where it can be had
	own    []*contestant // first those with few routes, of these first the legacy one
}

// contestant is a proxy with one shape of request.
type contestant struct {
	name    string
	process *process
	request []byte
	mark    string // what each answer must contain
	clients []*peer
	most    float64 // of nginx's CPU; 0 for another proxy
	busy    []float64
}

func (m *measurement) all() error {
	if err := m.start(); err != nil {
		return err
	}
	if m.Profile != "" {
		return m.profiles()
	}
	for _, c := range []struct {
		name string
		run  func() error
	}{{caseCPU, m.cpu}, {caseLatency, m.latency}, {caseShadow, m.copies}, {caseMemory, m.memory}, {caseReload, m.reload}} {
		if !slices.Contains(m.Cases, c.name) {
			continue
		}
		if err := c.run(); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// start starts the proxies that are compared, each with its clients.
func (m *measurement) start() error {
	for _, name := range m.Proxies {
		p, err := m.world.startOther(name)
		if err != nil {
			return err
		}
		if p != nil {
			m.others = append(m.others, &contestant{name: name, process: p, request: request(literal.path(legacy), ""), mark: marks[legacy]})
		}
	}
	for _, file := range []struct {
		name string
		form form
		n    int
	}{
		{"few", literal, fewRoutes}, {string(literal), literal, manyRoutes}, {string(parameter), parameter, manyRoutes},
		{string(parameterFirst), parameterFirst, manyRoutes},
	} {
		p, err := m.world.startBanyan(file.name, routes(file.form, file.n, m.world.old, m.world.new), false)
		if err != nil {
			return err
		}
		for _, shape := range []string{legacy, forwarded, mapped, withToken} {
			c := &contestant{name: shape + "-" + file.name, process: p, request: request(file.form.path(shape), ""), mark: marks[shape], most: passedRatio}
			switch shape {
			case mapped:
				c.most = mappedRatio
			case withToken:
				c.request = request(file.form.path(shape), m.world.token)
			}
			m.own = append(m.own, c)
		}
	}
	for _, c := range slices.Concat(m.others, m.own) {
		if err := m.connect(c, connections); err != nil {
			return err
		}
	}
	return nil
}

// connect gives a contestant clients that have each had an answer.
func (m *measurement) connect(c *contestant, n int) (err error) {
	c.clients = make([]*peer, n)
	for i := range c.clients {
		if c.clients[i], err = m.world.loop.dial(c.process.address); err != nil {
			return err
		}
	}
	_, err = m.drive(c, 0, 0)
	return err
}

// drive puts a contestant under a load.
func (m *measurement) drive(c *contestant, every, lasts time.Duration) ([]time.Duration, error) {
	taken, err := m.world.loop.run(load{
		clients: c.clients, request: c.request, mark: []byte(c.mark), every: every, lasts: lasts, rests: every > 0 && c.process.spread,
	})
	if err = errors.Join(err, m.world.ctx.Err()); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", c.name, err, c.process.said())
	}
	return taken, nil
}

// cost is the CPU time of a request in us, when all clients ask all the time.
func (m *measurement) cost(c *contestant) (float64, error) {
	before, err := c.process.cpu()
	if err != nil {
		return 0, err
	}
	taken, err := m.drive(c, 0, m.Run)
	if err != nil {
		return 0, err
	}
	after, err := c.process.cpu()
	return micros(after-before) / float64(len(taken)), err
}

func micros(d time.Duration) float64 { return d.Seconds() * 1e6 }

func (m *measurement) cpu() error {
	return m.compare("cpu", slices.Concat(m.others, m.own), m.cost, func(c *contestant) float64 { return c.most })
}

// latency compares the 99th percentiles at half of what banyan-proxy could answer.
func (m *measurement) latency() error {
	return m.tails(slices.Concat(m.others, m.own[:2]), m.own[0], 2, func(c *contestant) float64 {
		if c.most > 0 {
			return latencyRatio
		}
		return 0
	})
}

// copies compares the 99th percentiles with a copy of each request and without: all of it on one
// core, at a quarter of what banyan-proxy could answer; and over all cores at an eighth, with
// clients that sleep, so that two cores have something to spare.
func (m *measurement) copies() error {
	for _, spread := range []bool{false, true} {
		suffix, part, most := "", 4.0, 0.0
		if spread {
			suffix, part, most = "-spread", 8, shadowRatio
		}
		var both []*contestant
		for _, name := range []string{"shadow-off" + suffix, "shadow-on" + suffix} {
			on := len(both) > 0
			p, err := m.world.startBanyan(name, shadowed(m.world.old, m.world.new, on), spread)
			if err != nil {
				return err
			}
			c := &contestant{name: name, process: p, request: request(literal.path(copied), ""), mark: marks[legacy]}
			if on {
				c.most = most
			}
			if err := m.connect(c, connections); err != nil {
				return err
			}
			both = append(both, c)
		}
		if err := m.tails(both, both[0], part, func(c *contestant) float64 { return c.most }); err != nil {
			return err
		}
		if err := m.compared(both[1]); err != nil {
			return err
		}
	}
	return nil
}

// compared says how many of the copies were compared, and fails where none was.
func (m *measurement) compared(c *contestant) error {
	var text bytes.Buffer
	if err := fetch(&text, http.MethodGet, "http://"+c.process.admin+"/report"); err != nil {
		return err
	}
	var report proxy.Report
	if err := json.Unmarshal(text.Bytes(), &report); err != nil || len(report.Routes) != 1 || report.Routes[0].Shadow[shadow.Equal] == 0 {
		return fmt.Errorf("no answer was compared (%v): %.300s", err, text.Bytes())
	}
	all := int64(0)
	for _, n := range report.Routes[0].Shadow {
		all += n
	}
	m.report.Write(figures.Median(c.name, "compared_percent", []float64{100 * float64(report.Routes[0].Shadow[shadow.Equal]) / float64(all)}))
	return nil
}

// tails compares the 99th percentiles at a part of what one of the contestants could answer, such
// as half for 2, and says how busy the core was with each.
func (m *measurement) tails(all []*contestant, of *contestant, part float64, most func(*contestant) float64) error {
	cost, err := m.cost(of)
	if err != nil {
		return err
	}
	every := time.Duration(part * cost * float64(time.Microsecond))
	p99 := func(c *contestant) (float64, error) {
		before, err := c.process.cpu()
		if err != nil {
			return 0, err
		}
		began := time.Now()
		taken, err := m.drive(c, every, m.Run)
		if err != nil {
			return 0, err
		}
		after, err := c.process.cpu()
		c.busy = append(c.busy, 100*float64(after-before)/float64(time.Since(began)))
		slices.Sort(taken)
		return micros(taken[len(taken)*99/100]), err
	}
	if err := m.compare("p99", all, p99, most); err != nil {
		return err
	}
	for _, c := range all {
		m.report.Write(figures.Median(c.name, "busy_percent", c.busy))
	}
	return nil
}

// compare lets contestants take turns and reports what of gives for each in us, and as a ratio
// to the first, which must be at most most where that is nginx.
func (m *measurement) compare(metric string, all []*contestant, of func(*contestant) (float64, error), most func(*contestant) float64) error {
	values, ratios := make([][]float64, len(all)), make([][]float64, len(all))
	for range m.Rounds {
		for i, c := range all {
			v, err := of(c)
			if err != nil {
				return err
			}
			values[i] = append(values[i], v)
			ratios[i] = append(ratios[i], v/values[0][len(values[0])-1])
		}
	}
	for i, c := range all {
		m.report.Write(figures.Median(c.name, metric+"_us", values[i]))
		if i == 0 {
			continue
		}
		f := figures.Median(c.name, metric+"_ratio_to_"+all[0].name, ratios[i])
		if target := most(c); target > 0 && (all[0].name == nginx || c.process.spread) {
			f = f.Within(figures.AtMost, target)
		}
		m.report.Write(f)
	}
	return nil
}

// memory measures what idle connections hold, each after an answer.
func (m *measurement) memory() error {
	p, err := m.world.startBanyan("memory", routes(literal, fewRoutes, m.world.old, m.world.new), false) // one that has held nothing before
	if err != nil {
		return err
	}
	for _, c := range append(slices.Clone(m.others), &contestant{name: banyan, process: p, request: m.own[0].request, mark: marks[legacy], most: idleKB}) {
		if err := m.connect(c, connections); err != nil {
			return err
		}
		before, err := c.process.memory()
		if err != nil {
			return err
		}
		if err := m.connect(c, m.Idle); err != nil {
			return err
		}
		after, err := c.process.memory()
		if err != nil {
			return err
		}
		f := figures.Median(c.name, "idle_connection_kb", []float64{(after - before) / float64(m.Idle)})
		if c.process == p {
			f = f.Within(figures.AtMost, idleKB)
		}
		m.report.Write(f)
		for _, client := range c.clients {
			m.world.loop.remove(client)
		}
	}
	return nil
}

// reload measures how long the activation of a long file takes while clients are answered.
func (m *measurement) reload() error {
	file := routes(parameterFirst, reloadRoutes, m.world.old, m.world.new)
	p, err := m.world.startBanyan("reload", file, false)
	if err != nil {
		return err
	}
	c := &contestant{name: fmt.Sprintf("reload-%d", reloadRoutes), process: p, request: m.own[0].request, mark: marks[legacy]}
	if err := m.connect(c, connections); err != nil {
		return err
	}
	var rounds []float64
	for i := range m.Rounds {
		var took time.Duration
		err := m.during(c, 2*time.Millisecond, 100*time.Millisecond, func() error {
			began := time.Now()
			defer func() { took = time.Since(began) }()
			return p.activate(fmt.Sprintf("%s# %d\n", file, i))
		})
		if err != nil {
			return err
		}
		rounds = append(rounds, micros(took)/1000)
	}
	m.report.Write(figures.Median(c.name, "ms", rounds).Within(figures.AtMost, reloadMillis))
	return nil
}

// during calls f under a load, which goes on until f has returned.
func (m *measurement) during(c *contestant, every, step time.Duration, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	for {
		_, err := m.drive(c, every, step)
		select {
		case failed := <-done:
			return errors.Join(err, failed)
		default:
		}
		if err != nil {
			return errors.Join(err, <-done)
		}
	}
}

// activate replaces the route file and waits until it is in force.
func (p *process) activate(file string) error {
	next := p.routes + ".next"
	if err := errors.Join(os.WriteFile(next, []byte(file), 0o600), os.Rename(next, p.routes)); err != nil {
		return err
	}
	return fetch(io.Discard, http.MethodPost, "http://"+p.admin+"/reload")
}

// profiles writes a CPU profile of banyan-proxy under each shape.
func (m *measurement) profiles() error {
	if err := os.MkdirAll(m.Profile, 0o755); err != nil {
		return err
	}
	for _, c := range m.own {
		file, err := os.Create(filepath.Join(m.Profile, c.name+".pprof"))
		if err != nil {
			return err
		}
		err = m.during(c, 0, 100*time.Millisecond, func() error {
			return fetch(file, http.MethodGet, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%.0f", c.process.pprof, max(1, m.Run.Seconds())))
		})
		if err = errors.Join(err, file.Close()); err != nil {
			return fmt.Errorf("profile %s: %w", c.name, err)
		}
	}
	return nil
}

// fetch copies the answer of banyan-proxy's own addresses.
func fetch(to io.Writer, method, url string) error {
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err = io.Copy(to, resp.Body); err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s", method, url, resp.Status)
	}
	return err
}
