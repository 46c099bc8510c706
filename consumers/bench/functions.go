package main

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
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

// build builds packages as they are deployed, into a folder.
func build(ctx context.Context, dir string, packages []string, architectures ...string) ([]deploy.Artifact, error) {
	m, err := deploy.Build{Out: dir, Packages: packages, Architectures: architectures, Commit: name}.Run(ctx)
	return m.Packages, err
}

// functions measures the archives of functions, and their starts.
func (b *bench) functions(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "banyan-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var architectures []string // all
	if b.Native || !b.wants(caseZip) {
		architectures = []string{native()}
	}
	built, err := build(ctx, dir, b.Functions, architectures...)
	if err != nil {
		return err
	}
	if b.wants(caseZip) {
		for _, a := range built {
			b.report.Write(figures.Median(caseZip+"-"+a.Name+"-"+a.Architecture, "mb", []float64{float64(a.Size) / 1e6}).Within(figures.AtMost, 6))
		}
	}
	if b.wants(caseStart) {
		return b.starts(ctx, dir, built)
	}
	return nil
}

// starts measures the first poll of each function that this machine can run.
func (b *bench) starts(ctx context.Context, dir string, built []deploy.Artifact) (err error) {
	w, err := startSandbox(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop(context.WithoutCancel(ctx))) }()
	env, err := environment(dir, w.Env())
	if err != nil {
		return err
	}
	for _, a := range built {
		if a.Architecture != native() {
			continue
		}
		bootstrap := filepath.Join(dir, a.Name)
		if err := unpack(filepath.Join(dir, a.File), bootstrap); err != nil {
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

// environment is one in which every function of this repository starts, which runs beside a
// sandbox: all variables that any of them needs.
func environment(dir string, box []string) ([]string, error) {
	schemas, err := filepath.Abs("events/social/testdata/asyncapi.json")
	if err != nil {
		return nil, err
	}
	const arn = "arn:aws:kinesis:us-east-1:000000000000:stream/" + name
	env := map[string]string{
		"SCHEMAS": schemas, "ARCHIVE": filepath.Join(dir, "archive"), "WAREHOUSE": filepath.Join(dir, "warehouse"), "EVENTS_STREAM": name,
		"OPENSEARCH_URL": "http://127.0.0.1:9", "SEARCH_TEXT": "name", "BANYAN_JWT_SECRET": strings.Repeat("bench-only ", 4), "SOCIAL_SERVICE": "posts",
		"AUTOSCALE_STREAMS": `[{"stream":"` + name + `","min":1,"max":2}]`, "WARM_FUNCTIONS": name, "AWS_LAMBDA_FUNCTION_NAME": name,
		"LOG_STREAM_ARN": arn, "LOG_ROLE_ARN": "arn:aws:iam::000000000000:role/" + name, "LOG_DEAD_LETTER_URL": "http://127.0.0.1:9/" + name,
		"LOOP_QUEUES": `[{"queue":"http://127.0.0.1:9/` + name + `","handler":"` + name + `","min":1,"max":1}]`, "LOOP_FUNCTION": name,
		"SES_FROM": name + "@example.com",
	}
	for _, table := range strings.Fields("PROFILE RECOMMENDATIONS RECOMMEND TIMELINE NOTIFICATIONS DEAD_LETTER OUTBOX AUTOSCALE LOOP SEARCH BANYAN_CONTROL") {
		env[table+"_TABLE"] = name
	}
	maps.Copy(env, environ(box))
	all := make([]string, 0, len(env))
	for k, v := range env {
		all = append(all, k+"="+v)
	}
	return all, nil
}

// environ is an environment by name.
func environ(all []string) map[string]string {
	by := map[string]string{}
	for _, kv := range all {
		k, v, _ := strings.Cut(kv, "=")
		by[k] = v
	}
	return by
}
