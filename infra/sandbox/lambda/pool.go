package lambda

import (
	"sync"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/lambda/internal/environment"
)

// pool holds the idle execution environments of one revision.
type pool struct {
	mu      sync.Mutex
	idle    []idleEnvironment // the last used is at the end
	retired bool
}

type idleEnvironment struct {
	env   *environment.Environment
	since time.Time
}

// take returns the environment used last that is still alive, or nil.
func (p *pool) take() *environment.Environment {
	var dead []*environment.Environment
	defer func() { end(dead) }()
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 {
		last := p.idle[len(p.idle)-1].env
		p.idle = p.idle[:len(p.idle)-1]
		if last.Alive() {
			return last
		}
		dead = append(dead, last)
	}
	return nil
}

// put gives an environment back, or ends it when it cannot be used again.
func (p *pool) put(env *environment.Environment) {
	p.mu.Lock()
	keep := !p.retired && env.Alive()
	if keep {
		p.idle = append(p.idle, idleEnvironment{env: env, since: time.Now()})
	}
	p.mu.Unlock()
	if !keep {
		end([]*environment.Environment{env})
	}
}

// reap ends the environments idle since before the given time.
func (p *pool) reap(before time.Time) {
	p.mu.Lock()
	var old []*environment.Environment
	for len(p.idle) > 0 && p.idle[0].since.Before(before) {
		old = append(old, p.idle[0].env)
		p.idle = p.idle[1:]
	}
	p.mu.Unlock()
	end(old)
}

// retire ends the idle environments, and later those now in use.
func (p *pool) retire() {
	p.mu.Lock()
	p.retired = true
	p.mu.Unlock()
	p.reap(time.Now().Add(time.Hour))
}

func end(envs []*environment.Environment) {
	for _, env := range envs {
		env.Stop()
		env.Wait()
	}
}
