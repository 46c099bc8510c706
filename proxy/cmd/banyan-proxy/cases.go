package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/proxy"
	"github.com/banyan-fig/banyan/proxy/cases"
	"github.com/banyan-fig/banyan/proxy/override"
	"github.com/banyan-fig/banyan/proxy/route"
)

// unset stands for the value of a variable that is not set: what upstreams are reached by, and
// what tokens are verified by, does not count in a test.
const unset = "http://not-set-where-cases-are-tested.invalid"

type testFlags struct {
	Routes string   `arg:"" help:"Route file (YAML). Environment variables that it names need not be set."  type:"path"`
	Cases  []string `arg:"" help:"Files with one case each, and directories of them (*.yaml)." type:"path"`
	Update bool     `help:"Rewrite cases that differ with what is got."`
}

func (f testFlags) Run(ctx context.Context, stdout io.Writer) error {
	src, err := os.ReadFile(f.Routes)
	if err != nil {
		return fmt.Errorf("%w: read route file: %w", serving.ErrUsage, err)
	}
	table, err := route.Compile(f.Routes, src, func(name string) (string, bool) {
		if v, ok := os.LookupEnv(name); ok {
			return v, true
		}
		return unset, true
	})
	if err != nil {
		return fmt.Errorf("%w: %w", serving.ErrUsage, err)
	}
	paths, all, err := readCases(f.Cases)
	if err != nil {
		return fmt.Errorf("%w: %w", serving.ErrUsage, err)
	}
	failed := 0
	for i, c := range all {
		result, err := cases.Run(ctx, table, c, openProxy)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			fmt.Fprintf(stdout, "%s: %v\n", paths[i], err)
		case len(result.Differences) == 0:
			continue
		case f.Update && result.Got != nil:
			if err := updateCase(paths[i], result.Got); err != nil {
				return err
			}
			fmt.Fprintf(stdout, "%s: updated\n", paths[i])
			continue
		default:
			for _, d := range result.Differences {
				fmt.Fprintf(stdout, "%s: %s\n", paths[i], d)
			}
		}
		failed++
	}
	fmt.Fprintf(stdout, "cases: %d, failed: %d\n", len(all), failed)
	if failed > 0 {
		return &serving.ExitError{Code: serving.ExitFailure}
	}
	return nil
}

// readCases reads files, and those of directories. All mistakes are reported at once.
func readCases(places []string) (paths []string, all []*cases.Case, err error) {
	for _, place := range places {
		info, err := os.Stat(place)
		if err != nil {
			return nil, nil, err
		}
		if !info.IsDir() {
			paths = append(paths, place)
			continue
		}
		found, err := filepath.Glob(filepath.Join(place, "*.yaml"))
		if err != nil {
			return nil, nil, err
		}
		paths = append(paths, found...)
	}
	if len(paths) == 0 {
		return nil, nil, fmt.Errorf("no cases (*.yaml) in %q", places)
	}
	var wrong []error
	for _, path := range paths {
		c, err := cases.ReadFile(path)
		all, wrong = append(all, c), append(wrong, err)
	}
	return paths, all, errors.Join(wrong...)
}

func updateCase(path string, c *cases.Case) error {
	src, err := c.Marshal()
	if err == nil {
		err = os.WriteFile(path, src, 0o600)
	}
	if err != nil {
		return fmt.Errorf("update %s: %w", path, err)
	}
	return nil
}

func openProxy(ctx context.Context, t *route.Table, o *override.Table) (http.Handler, func(), error) {
	p, err := proxy.New(ctx, t, proxy.Config{Overrides: o})
	if err != nil {
		return nil, nil, err
	}
	return p, p.Close, nil
}

type recordFlags struct {
	operator
	Route   string        `arg:"" help:"The route's name. For an endpoint without a route, add one with name, path and mode legacy, which changes nothing."`
	Into    string        `arg:"" help:"Directory for the cases: ROUTE-001.yaml and so on. What is there stays." type:"path"`
	Cases   int           `help:"How many exchanges, up to 100." default:"10"`
	For     time.Duration `help:"For how long at most, up to 1h." default:"30s"`
	Percent float64       `help:"The share of the route's exchanges that is taken." default:"100"`
}

func (f recordFlags) Run(ctx context.Context, stdout io.Writer) error {
	if err := os.MkdirAll(f.Into, 0o700); err != nil {
		return fmt.Errorf("%w: %w", serving.ErrUsage, err)
	}
	q := url.Values{"route": {f.Route}, "n": {strconv.Itoa(f.Cases)}, "for": {f.For.String()}, "percent": {fmt.Sprint(f.Percent)}}
	var recorded proxy.Recorded
	f.wait = f.For
	if err := f.call(ctx, http.MethodPost, "/record?"+q.Encode(), nil, &recorded, stdout); err != nil || f.JSON {
		return err
	}
	n := 0
	for _, src := range recorded.Cases {
		path, err := writeNew(f.Into, url.PathEscape(f.Route), &n, src)
		if err != nil {
			return fmt.Errorf("keep a case: %w", err)
		}
		fmt.Fprintln(stdout, path)
	}
	fmt.Fprintf(stdout, "cases: %d, skipped: %d (failed, long, or no text)\n", len(recorded.Cases), recorded.Skipped)
	return nil
}

// writeNew writes a file of the next number that is free.
func writeNew(dir, name string, n *int, src string) (path string, err error) {
	for {
		*n++
		path = filepath.Join(dir, fmt.Sprintf("%s-%03d.yaml", name, *n))
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		_, err = io.WriteString(file, src)
		return path, errors.Join(err, file.Close())
	}
}
