package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/proxy"
	"github.com/banyan-fig/banyan/proxy/route/source"
)

// remoteEvery is how often a source is looked at that costs a call.
const remoteEvery = 5 * time.Second

// reloader reads the routes from where --routes says.
func (f flags) reloader(ctx context.Context, log *slog.Logger) (*proxy.Reloader, error) {
	r := &proxy.Reloader{Every: f.Serve.Every, Copy: f.Serve.Copy, Log: log}
	object, inS3 := strings.CutPrefix(f.Serve.Routes, "s3://")
	parameter, inSSM := strings.CutPrefix(f.Serve.Routes, "ssm:")
	if !inS3 && !inSSM {
		path, err := filepath.Abs(kong.ExpandPath(f.Serve.Routes))
		r.Source = source.NewFile(path)
		return r, err
	}
	if r.Every <= 0 {
		r.Every = remoteEvery
	}
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return nil, err
	}
	if inSSM {
		r.Source = source.NewSSM(ssm.NewFromConfig(sdk), parameter)
		return r, nil
	}
	bucket, key, _ := strings.Cut(object, "/")
	if bucket == "" || key == "" {
		return nil, fmt.Errorf("%w: --routes: invalid object %q: it must be such as s3://bucket/routes.yaml", serving.ErrUsage, f.Serve.Routes)
	}
	client := s3.NewFromConfig(sdk, func(o *s3.Options) { o.DisableLogOutputChecksumValidationSkipped = true }) // at each reading
	r.Source = source.NewS3(client, bucket, key)
	return r, nil
}

type routesFlags struct {
	Get      getFlags      `cmd:"" help:"Print the route file in force, or write it to a file and print its version."`
	Put      putFlags      `cmd:"" help:"Replace the route file by one that compiles, unless another has changed it meanwhile."`
	History  historyFlags  `cmd:"" help:"List the versions that stood, the newest first."`
	Rollback rollbackFlags `cmd:"" help:"Put a version of the history in its place again."`
}

type getFlags struct {
	operator
	Of   string `help:"A version of the history instead."`
	Into string `help:"Write it to this file, and print its version." type:"path"`
}

func (f getFlags) Run(ctx context.Context, stdout io.Writer) error {
	path := "/routes"
	if f.Of != "" {
		path += "?" + url.Values{"version": {f.Of}}.Encode()
	}
	src, tag, err := f.send(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return err
	}
	version := strings.Trim(tag, `"`)
	switch {
	case f.Into != "":
		if err = os.WriteFile(f.Into, src, 0o644); err == nil {
			fmt.Fprintln(stdout, version)
		}
	case f.JSON:
		err = json.NewEncoder(stdout).Encode(map[string]string{"version": version, "routes": string(src)})
	default:
		_, err = stdout.Write(src)
	}
	return err
}

type putFlags struct {
	operator
	File     string `arg:"" help:"The new route file." type:"path"`
	Replaces string `help:"The version that it was made of, as get prints it." required:""`
	reason
}

func (f putFlags) Run(ctx context.Context, stdout io.Writer) error {
	src, err := os.ReadFile(f.File)
	if err != nil {
		return fmt.Errorf("%w: read route file: %w", serving.ErrUsage, err)
	}
	return f.operator.change(ctx, http.MethodPut, "/routes", f.query(), f.Replaces, src, stdout)
}

// change prints the version that is in force then.
func (o operator) change(ctx context.Context, method, path string, q url.Values, replaces string, src []byte, stdout io.Writer) error {
	o.wait = 30 * time.Second
	if replaces != "" {
		replaces = `"` + replaces + `"`
	}
	raw, tag, err := o.send(ctx, method, path+"?"+q.Encode(), replaces, src)
	if err != nil {
		return err
	}
	if o.JSON {
		_, err = stdout.Write(raw)
		return err
	}
	fmt.Fprintln(stdout, strings.Trim(tag, `"`))
	return nil
}

type historyFlags struct{ operator }

func (f historyFlags) Run(ctx context.Context, stdout io.Writer) error {
	var all []source.Version
	if err := f.call(ctx, http.MethodGet, "/routes/history", nil, &all, stdout); err != nil || f.JSON {
		return err
	}
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "VERSION\tPUT AT\tBYTES\tBY\t")
	for _, v := range all {
		now := ""
		if v.Current {
			now = "stands"
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\n", v.ID, v.At.Format(time.RFC3339), v.Bytes, v.By, now)
	}
	return table.Flush()
}

type rollbackFlags struct {
	operator
	To string `arg:"" help:"The version, as history lists it."`
	reason
}

func (f rollbackFlags) Run(ctx context.Context, stdout io.Writer) error {
	q := f.query()
	q.Set("version", f.To)
	return f.operator.change(ctx, http.MethodPost, "/routes/rollback", q, "", nil, stdout)
}
