package main

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/functiontest"
)

// processes are those of the function, where the system has a /proc that tells.
func processes(t *testing.T) (pids []int) {
	t.Helper()
	path := functiontest.Build(t, ".")
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	must(t, err)
	for _, link := range links {
		if exe, err := os.Readlink(link); err == nil && exe == path {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link)))
			must(t, err)
			pids = append(pids, pid)
		}
	}
	return pids
}

// TestSecretChangedWhileFrozen: a secret that changed while Lambda had stopped the process
// is used from the first request after it on.
func TestSecretChangedWhileFrozen(t *testing.T) {
	w := newWorld(t, map[string]string{"TIMELINE_TABLE": table, "BANYAN_JWT_SECRET": "ssm:" + secretName, "BANYAN_CONFIG_TTL": "100ms"})
	w.put(oldKey)
	for round := range 2 {
		from, to := oldKey, newKey
		if round%2 == 1 {
			from, to = to, from
		}
		if round == 0 {
			if status, body := w.get(issue(t, from)); status != 200 {
				t.Fatalf("%d %s", status, body)
			}
		}
		pids := processes(t)
		if len(pids) == 0 {
			t.Skip("no /proc to find the process by")
		}
		must(t, syscall.Kill(pids[0], syscall.SIGSTOP))
		w.put(to)
		time.Sleep(1200 * time.Millisecond) // longer than config's gap between two reads of a setting
		answered := make(chan int)
		go func() { status, _ := w.get(issue(t, to)); answered <- status }()
		time.Sleep(20 * time.Millisecond) // the request waits for the process
		must(t, syscall.Kill(pids[0], syscall.SIGCONT))
		if status := <-answered; status != 200 {
			t.Errorf("round %d: the first request after the sleep: %d", round, status)
		}
	}
}
