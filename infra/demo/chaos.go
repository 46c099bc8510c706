package demo

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/banyan-fig/banyan/infra/backoff"
)

// chaosPlan is what goes wrong in the chaos variant, all by the seed. The
// rates are such that a long run meets every kind many times.
const chaosPlan = `
delay 60ms
kinesis.PutRecords      throttle=0.02 partial=0.05 timeout-before=0.01 timeout-after=0.02 internal=0.01
kinesis.GetRecords      throttle=0.03 internal=0.01 timeout-after=0.01
dynamodb.BatchWriteItem throttle=0.01 partial=0.05 timeout-after=0.005
dynamodb.BatchGetItem   throttle=0.01 partial=0.05
dynamodb.*              throttle=0.005 internal=0.002 timeout-before=0.001 timeout-after=0.002
lambda.Invoke           duplicate=0.05 late=0.03 timeout-after=0.02 partial=0.01 throttle=0.01
mongodb.find            timeout-before=0.002
mongodb.*               timeout-before=0.001 timeout-after=0.001
`

// killer decides when a migrating process is killed.
type killer struct {
	r    *rand.Rand
	runs int
}

func newKiller(seed uint64) *killer { return &killer{r: rand.New(rand.NewPCG(seed, 0xC1A05))} }

// lifetime is how long the process may run this time. The first times are short, to
// end in the middle of the work; some later ones are long enough to wait for the lease
// of a killed predecessor.
func (k *killer) lifetime() time.Duration {
	k.runs++
	if k.runs <= 2 {
		return 30*time.Millisecond + time.Duration(k.r.IntN(600))*time.Millisecond
	}
	return 100*time.Millisecond + time.Duration(k.r.ExpFloat64()*float64(3*time.Second))
}

// The time from one SIGKILL of a service's instance to the next. The lease of a killed one
// runs out before the next is killed, or writes would be held for as long as it goes on.
const (
	leastBetweenKills = 3 * time.Second
	meanBeyond        = 4 * time.Second
)

// untilLeasesRanOut is for how long the migrating process is not to be killed, as an instance
// of a service was just before. Whoever holds writes has to see for a lease that the instance is
// dead; were it killed meanwhile, again and again, writes would be held for longer than an app
// waits.
func (w *World) untilLeasesRanOut() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return leastBetweenKills - time.Since(w.instanceKilled)
}

// serviceKiller kills instances of services, one at a time, and starts each anew.
type serviceKiller struct {
	end  context.CancelFunc
	done chan error
	err  error
}

// startKilling kills instances of the services from now on, by the seed.
func (w *World) startKilling(r *Report) {
	ctx, end := context.WithCancel(context.Background())
	w.killing = &serviceKiller{end: end, done: make(chan error, 1)}
	go func() { w.killing.done <- w.killServices(ctx, r) }()
}

// stop returns when all instances run again.
func (k *serviceKiller) stop() error {
	k.end()
	if err, ok := <-k.done; ok {
		k.err = err
		close(k.done)
	}
	return k.err
}

func (w *World) killServices(ctx context.Context, r *Report) error {
	random := rand.New(rand.NewPCG(w.cfg.Seed, 0x5E121CE))
	for {
		pause := leastBetweenKills + time.Duration(random.ExpFloat64()*float64(meanBeyond))
		if backoff.Sleep(ctx, pause) != nil {
			return nil
		}
		if err := w.killService(random.IntN(2*len(entities) + 1)); err != nil { // two for each entity, and the timeline
			return errors.Join(errors.New("a service that was killed does not come back"), err)
		}
		w.mu.Lock()
		r.ServiceKills++
		w.mu.Unlock()
	}
}

// starts is how often a killed instance is started: it meets the injected faults, too.
const starts = 10

func (w *World) killService(n int) error {
	w.mu.Lock()
	p := w.processes[n]
	err := p.checkAlive() // or it would be taken for killed
	if err == nil {
		p.kill()
		w.instanceKilled = time.Now()
		p, err = w.restart(n, p)
	}
	w.mu.Unlock()
	for attempt := 0; err == nil; attempt++ {
		ready := p.awaitReady(context.Background(), p.ready)
		if ready == nil || attempt+1 == starts {
			return ready
		}
		p.kill()
		w.mu.Lock()
		p, err = w.restart(n, p)
		w.mu.Unlock()
	}
	return err
}

// restart starts the program of a process that has ended.
func (w *World) restart(n int, ended *process) (*process, error) {
	p, err := w.start(ended.name, ended.env, ended.args...)
	if err == nil {
		p.ready, w.processes[n] = ended.ready, p
	}
	return p, err
}
