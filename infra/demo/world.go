package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/services/social"
	"github.com/banyan-fig/banyan/services/social/plans"
)

// entities are those that move, in this order, with their plans as an operator would have them.
var (
	entities  = []string{"users", "relationships", "posts"}
	planTexts = map[string][]byte{"users": plans.Users, "relationships": plans.Relationships, "posts": plans.Posts}
)

// Config says how large the world is and what happens in it.
type Config struct {
	Size   int       // users that the monolith has at the beginning, 100 to 10,000,000
	Rate   int       // requests a second, 1 to 10,000
	Seed   uint64    // of all that is generated
	Data   string    // a mongoexport file of users instead of generated ones
	Report string    // where to write the summary as JSON, "" for nowhere
	Chaos  bool      // inject faults and kill the migrating process
	Bin    string    // folder of the binaries; default that of this program
	Out    io.Writer // for the screen; default os.Stdout
	Keep   bool      // leave the work folder with the logs, also when all went well
}

// Validate reports the first setting that makes no sense.
func (c Config) Validate() error {
	if c.Size < 100 || c.Size > 10_000_000 {
		return fmt.Errorf("invalid size %d: must be from 100 to 10,000,000 users", c.Size)
	}
	if c.Rate < 1 || c.Rate > 10_000 {
		return fmt.Errorf("invalid rate %d: must be from 1 to 10,000 requests a second", c.Rate)
	}
	if c.Data != "" {
		if _, err := os.Stat(c.Data); err != nil {
			return fmt.Errorf("data: %w", err)
		}
	}
	return nil
}

func (c *Config) applyDefaults() error {
	if c.Out == nil {
		c.Out = os.Stdout
	}
	if err := c.Validate(); err != nil {
		return err
	}
	if c.Bin == "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		c.Bin = filepath.Dir(self)
	}
	return nil
}

// World is everything that runs.
type World struct {
	cfg      Config
	screen   *screen
	dir      string
	sandbox  *sandbox.Sandbox
	env      []string
	vars     map[string]string // the whole environment of the processes
	aws      *clients
	database string
	metrics  *meter

	plans       map[string]*plan.Plan // of the entities
	functionLog *os.File
	network     *network // nil without chaos

	addresses map[string]string // by the name of a program, and behind -admin that for operators
	processes []*process
	traffic   *traffic
	killing   *serviceKiller // nil without chaos

	mu             sync.Mutex // guards the following, processes, and the report's counters while the migration runs
	instanceKilled time.Time  // when one was last
}

// checkEndpoints refuses an environment that names a server where nothing listens, as
// one does that was exported for a sandbox which has ended.
func checkEndpoints(ctx context.Context, environ []string) error {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if name != "MONGODB_URI" && !strings.HasPrefix(name, "AWS_ENDPOINT_URL") {
			continue
		}
		u, err := url.Parse(value)
		if err != nil || u.Port() == "" { // several hosts, mongodb+srv, or a service of AWS
			continue
		}
		c, err := dialer.DialContext(ctx, "tcp", u.Host)
		if err != nil {
			return fmt.Errorf("%s names a server that does not answer: %w; start it, or unset %s to use the sandbox", name, err, name)
		}
		_ = c.Close()
	}
	return nil
}

// newWorld starts the sandbox, or finds the user's own servers, and makes
// what the parts need in it.
func newWorld(ctx context.Context, cfg Config) (_ *World, err error) {
	if err := cfg.applyDefaults(); err != nil {
		return nil, err
	}
	if err := checkEndpoints(ctx, os.Environ()); err != nil {
		return nil, err
	}
	w := &World{cfg: cfg, screen: newScreen(cfg.Out), metrics: &meter{}}
	if w.dir, err = os.MkdirTemp("", "banyan-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			w.Close(true)
		}
	}()
	if w.functionLog, err = os.Create(w.path("functions.log")); err != nil {
		return nil, err
	}
	w.metrics.log = w.functionLog
	if w.sandbox, err = sandbox.Start(ctx, sandbox.Config{Seed: cfg.Seed, FunctionLog: w.metrics, Dir: w.dir}); err != nil {
		return nil, err
	}
	w.env = append(w.sandbox.Env(),
		"BANYAN_JWT_SECRET="+fmt.Sprintf("demo-secret-%032d", cfg.Seed),
		"BANYAN_COHORT_KEY="+fmt.Sprintf("demo-cohorts-%016d", cfg.Seed),
		"EVENTS_STREAM="+streamName, "TIMELINE_TABLE="+timelineTable, "PROFILE_TABLE="+profileTable,
	)
	w.vars = map[string]string{}
	for _, kv := range append(os.Environ(), w.env...) {
		k, v, _ := strings.Cut(kv, "=")
		w.vars[k] = v
	}
	if w.database, err = databaseOf(w.vars["MONGODB_URI"]); err != nil {
		return nil, err
	}
	if w.aws, err = newClients(ctx, w.vars); err != nil {
		return nil, err
	}
	return w, w.writePlans()
}

func (w *World) writePlans() (err error) {
	w.plans = map[string]*plan.Plan{}
	for name, text := range planTexts {
		if w.plans[name], err = plan.Parse(name+".yaml", text); err != nil {
			return err
		}
		if err := os.WriteFile(w.path(name+".yaml"), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func databaseOf(uri string) (string, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return "", fmt.Errorf("MONGODB_URI: %w", err)
	}
	if name := strings.Trim(u.Path, "/"); name != "" {
		return name, nil
	}
	return "legacy", nil
}

func (w *World) path(name string) string { return filepath.Join(w.dir, name) }

// Close ends everything. With keep the work folder stays and is named.
func (w *World) Close(keep bool) {
	if w.killing != nil {
		_ = w.killing.stop()
	}
	for i := len(w.processes) - 1; i >= 0; i-- {
		if p := w.processes[i]; p.checkAlive() == nil {
			_ = p.stop(5 * time.Second)
		}
	}
	if w.network != nil {
		_ = w.network.proxy.Close()
	}
	if w.sandbox != nil {
		_ = w.sandbox.Close()
	}
	if w.functionLog != nil {
		_ = w.functionLog.Close()
	}
	if keep {
		w.screen.step("every program's log is in %s", w.dir)
		return
	}
	_ = os.RemoveAll(w.dir)
}

// run runs a program to its end and hands its standard output on.
func (w *World) run(ctx context.Context, name string, out io.Writer, args ...string) error {
	log, err := os.OpenFile(w.path(name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := w.command(ctx, nil, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if out != nil {
		cmd.Stdout = out
	}
	// The kernel ties a child's life to the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, lastLines(log.Name(), 2))
	}
	return nil
}

// startServices starts the services and waits until each is ready. Under chaos there are two
// instances of each that owns an entity, as one is killed now and then.
func (w *World) startServices(ctx context.Context) error {
	w.addresses = map[string]string{}
	urls := map[string]string{}
	var all []service
	for _, name := range entities {
		args := []string{"banyan-social", "--service", name}
		if name == "users" {
			args = []string{"banyan-users", "--bcrypt-cost", "4"}
		}
		instances := []string{name}
		if w.cfg.Chaos {
			instances = append(instances, name+"-2")
		}
		for i, instance := range instances {
			if err := w.findAddresses(instance); err != nil {
				return err
			}
			instances[i] = "http://" + w.addresses[instance]
			all = append(all, service{"banyan-" + instance, w.addresses[instance+"-admin"],
				append(slices.Clip(args), "--listen", w.addresses[instance], "--admin-listen", w.addresses[instance+"-admin"])})
		}
		urls[name] = strings.Join(instances, ",")
	}
	if err := w.findAddresses("timeline", "monolith", "proxy"); err != nil {
		return err
	}
	a := w.addresses
	all = append(all,
		service{"banyan-timeline", a["timeline"], []string{"banyan-timeline", "--listen", a["timeline"]}},
		service{"banyan-monolith", a["monolith-admin"], []string{"banyan-monolith", "serve", "--listen", a["monolith"], "--admin-listen", a["monolith-admin"],
			"--users-url", urls["users"], "--relationships-url", urls["relationships"], "--posts-url", urls["posts"]}},
		service{"banyan-proxy", a["proxy-admin"], []string{"banyan-proxy", "serve", "--routes", w.path("routes.yaml"), "--listen", a["proxy"],
			"--admin-listen", a["proxy-admin"]}})
	if err := w.setTimelinePercent(0); err != nil {
		return err
	}
	env := []string{"MONOLITH_URL=http://" + a["monolith"], "USERS_URL=http://" + a["users"], "TIMELINE_URL=http://" + a["timeline"]}
	for _, s := range all {
		p, err := w.start(s.name, env, s.args...)
		if err != nil {
			return err
		}
		p.ready = "http://" + s.ready + "/readyz"
		w.processes = append(w.processes, p)
		if err := p.awaitReady(ctx, p.ready); err != nil {
			return err
		}
	}
	return nil
}

// findAddresses finds free ports for programs.
func (w *World) findAddresses(names ...string) (err error) {
	for _, name := range names {
		for _, of := range []string{name, name + "-admin"} {
			if w.addresses[of], err = freeAddress(); err != nil {
				return fmt.Errorf("find a free port: %w", err)
			}
		}
	}
	return nil
}

// service is a program that is started, and where it says that it is ready.
type service struct {
	name, ready string
	args        []string
}

// setTimelinePercent writes the route file with the timeline route's percentage, as an
// operator does; the proxy notices by itself.
func (w *World) setTimelinePercent(percent int) error {
	text := strings.Replace(string(social.Routes), "percent: 0", fmt.Sprintf("percent: %d", percent), 1)
	tmp := w.path("routes.yaml.new")
	if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, w.path("routes.yaml"))
}

// checkProcesses reports a process that ended by itself.
func (w *World) checkProcesses() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var errs []error
	for _, p := range w.processes {
		errs = append(errs, p.checkAlive())
	}
	return errors.Join(errs...)
}
