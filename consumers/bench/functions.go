package main

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/infra/deploy"
	"github.com/banyan-fig/banyan/infra/figures"
)

// startWithin is how long a function may take to its first poll.
const startWithin = time.Minute

// native is this machine's architecture, as Lambda names it.
func native() string {
	if runtime.GOARCH == "arm64" {
		return deploy.ARM64
	}
	return deploy.X8664
}

// readModel is the function that fills the read model of latency.
const readModel = "./consumers/social/cmd/profile"

// build builds, once, all that is measured, as it is deployed.
func (b *bench) build(ctx context.Context) ([]deploy.Artifact, error) {
	if b.built != nil {
		return b.built, nil
	}
	all := deploy.Build{Out: b.dir, Packages: []string{readModel}, Commit: name, Architectures: []string{native()}}
	if b.wants(caseStart) || b.wants(caseZip) {
		all.Packages = append(all.Packages, b.Functions...)
	}
	if b.wants(caseZip) && !b.Native {
		all.Architectures = nil // both
	}
	m, err := all.Run(ctx)
	b.built = m.Packages
	return b.built, err
}

// zips measures the archives of functions.
func (b *bench) zips(ctx context.Context) error {
	built, err := b.build(ctx)
	for _, a := range built {
		b.report.Write(figures.Median(caseZip+"-"+a.Name+"-"+a.Architecture, "mb", []float64{float64(a.Size) / 1e6}).Within(figures.AtMost, 6))
	}
	return err
}

// starts measures the first poll of each function that this machine can run.
func (b *bench) starts(ctx context.Context) (err error) {
	built, err := b.build(ctx)
	if err != nil {
		return err
	}
	w, err := startSandbox(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop(context.WithoutCancel(ctx))) }()
	env, err := environment(b.dir, w.Env())
	if err != nil {
		return err
	}
	for _, a := range built {
		if a.Architecture != native() {
			continue
		}
		bootstrap := filepath.Join(b.dir, a.Name)
		if err := unpack(filepath.Join(b.dir, a.File), bootstrap); err != nil {
			return err
		}
		var wall, cpu []float64
		for n := range b.Rounds + 1 {
			used, err := firstPoll(ctx, bootstrap, env)
			if err != nil {
				return fmt.Errorf("start %s: %w", a.Name, err)
			}
			if n > 0 { // the first only reads the file
				wall, cpu = append(wall, used.Wall*1e3), append(cpu, used.CPU*1e3)
			}
		}
		b.report.Write(figures.Median(caseStart+"-"+a.Name, "exec_to_first_poll_ms", wall).Within(figures.AtMost, 25))
		b.report.Write(figures.Median(caseStart+"-"+a.Name, "cpu_ms", cpu).Within(figures.AtMost, 25))
	}
	return nil
}

// unpack writes the executable of an archive.
func unpack(archive, to string) error {
	z, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer func() { _ = z.Close() }()
	from, err := z.Open("bootstrap")
	if err != nil {
		return err
	}
	content, err := io.ReadAll(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o700)
}

// firstPoll starts a function, ends it when it asks for work, and returns what it used until then.
func firstPoll(ctx context.Context, bootstrap string, env []string) (used figures.Usage, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return used, err
	}
	polled := make(chan time.Time, 1)
	api := &http.Server{ReadHeaderTimeout: startWithin, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case polled <- time.Now():
		default: // it asked before
		}
		<-r.Context().Done()
	})}
	go func() { _ = api.Serve(l) }() // ends with Close
	defer func() { _ = api.Close() }()
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	var said strings.Builder
	cmd := exec.CommandContext(ctx, bootstrap)
	cmd.Env, cmd.Stderr = append(env, "AWS_LAMBDA_RUNTIME_API="+l.Addr().String()), &said
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return used, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case at := <-polled:
		cancel()
		<-ended // killed
		return figures.Usage{Wall: at.Sub(begun).Seconds(), CPU: (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()}, nil
	case err := <-ended:
		return used, fmt.Errorf("it ended before it polled: %w\n%s", err, &said)
	}
}
