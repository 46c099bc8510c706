package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/banyan-fig/banyan/infra/sandbox"
)

// furnish makes streams, tables, functions and mappings.
func (f flags) furnish(ctx context.Context, s *sandbox.Sandbox) error {
	for _, name := range f.Stream {
		if err := s.CreateStream(ctx, name, streamShards); err != nil {
			return err
		}
	}
	for _, name := range f.Table {
		if err := s.CreateTable(ctx, name); err != nil {
			return err
		}
	}
	variables := map[string]string{}
	for _, v := range f.Env {
		variables[v.name] = v.value
	}
	for _, p := range f.Function {
		if err := s.CreateFunction(ctx, sandbox.Function{Name: p.name, File: p.value, Variables: variables}); err != nil {
			return err
		}
	}
	for _, m := range f.Map {
		if err := s.Map(ctx, m.name, m.value); err != nil {
			return err
		}
	}
	return nil
}

// serve starts the HTTP APIs and tells where they are.
func (f flags) serve(ctx context.Context, s *sandbox.Sandbox) (urls []string, err error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	for _, api := range f.HTTPAPI {
		url, err := s.ServeHTTPAPI(ctx, api.name, api.value, log)
		if err != nil {
			return nil, err
		}
		urls = append(urls, api.name+" at "+url)
	}
	return urls, nil
}

// invoke runs a function once.
func (f flags) invoke(ctx context.Context, s *sandbox.Sandbox, out io.Writer) (int, error) {
	event, err := readEvent(f.Invoke.value)
	if err != nil {
		return 1, fmt.Errorf("reading the event for %s: %w", f.Invoke.name, err)
	}
	if !json.Valid(event) {
		return 1, fmt.Errorf("the event for %s in %s is no JSON, which all events are", f.Invoke.name, f.Invoke.value)
	}
	answer, err := s.Invoke(ctx, f.Invoke.name, event)
	if err == nil || errors.Is(err, sandbox.ErrFunction) {
		if _, writeErr := fmt.Fprintf(out, "%s\n", answer); err == nil {
			err = writeErr
		}
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}

func readEvent(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(name)
}
