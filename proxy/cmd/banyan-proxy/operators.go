package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os/user"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/proxy"
	"github.com/banyan-fig/banyan/proxy/diff"
)

// exitClosed says that a gate is closed.
const exitClosed = 3

// operator is how the verbs below reach a running proxy.
type operator struct {
	Admin string `help:"Address of the running proxy for operators." default:"http://127.0.0.1:8081" env:"BANYAN_PROXY_ADMIN"`
	Token string `help:"Its admin token." env:"BANYAN_PROXY_ADMIN_TOKEN"`
	JSON  bool   `name:"json" help:"Print what it answers, as JSON."`

	wait time.Duration // that it takes to answer, beside 10 s
}

// call asks the proxy. The answer is printed where it is wanted as it is; then into is not set.
func (o operator) call(ctx context.Context, method, path string, body, into any, stdout io.Writer) error {
	var content []byte
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return err
		}
	}
	raw, _, err := o.send(ctx, method, path, "", content)
	if err != nil {
		return err
	}
	if o.JSON {
		_, err := stdout.Write(raw)
		return err
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(raw, into)
}

// send returns the proxy's answer and its ETag. An answer that is no success is an error.
func (o operator) send(ctx context.Context, method, path, ifMatch string, content []byte) (answer []byte, tag string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second+o.wait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(o.Admin, "/")+path, bytes.NewReader(content))
	if err != nil {
		return nil, "", fmt.Errorf("%w: invalid address %q of a proxy for operators, it must be such as http://127.0.0.1:8081: %w", serving.ErrUsage, o.Admin, err)
	}
	if o.Token != "" {
		req.Header.Set("Authorization", "Bearer "+o.Token)
	}
	if ifMatch != "" {
		req.Header.Set("If-Match", ifMatch)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, "", fmt.Errorf("cannot reach the proxy at %s, see --admin: %w", o.Admin, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return nil, "", fmt.Errorf("read the answer of %s: %w", o.Admin, err)
	}
	if resp.StatusCode >= 300 || resp.StatusCode == http.StatusAccepted {
		var said struct{ Error string }
		_ = json.Unmarshal(raw, &said)
		return nil, "", fmt.Errorf("the proxy at %s answers %s: %s", o.Admin, resp.Status, said.Error)
	}
	return raw, resp.Header.Get("ETag"), nil
}

// reason is what the audit says of a change.
type reason struct {
	Why string `help:"What the audit says." required:""`
	By  string `help:"Who decides it. Default: the user."`
}

func (r reason) by() string {
	if r.By == "" {
		if u, err := user.Current(); err == nil {
			return u.Username
		}
	}
	return r.By
}

func (r reason) query() url.Values { return url.Values{"by": {r.by()}, "why": {r.Why}} }

type explainFlags struct {
	operator
	Target  string   `arg:"" help:"Path and query, as a client sends them."`
	Method  string   `help:"The method." default:"GET"`
	Host    string   `help:"The host."`
	Header  []string `help:"A header, as Name: value." sep:"none"`
	Subject string   `help:"Whose request it is."`
	Client  string   `help:"The client's address."`
}

func (f explainFlags) Run(ctx context.Context, stdout io.Writer) error {
	q := url.Values{"path": {f.Target}, "method": {f.Method}, "host": {f.Host}, "subject": {f.Subject}, "client": {f.Client}, "header": f.Header}
	var e proxy.Explanation
	if err := f.call(ctx, http.MethodGet, "/explain?"+q.Encode(), nil, &e, stdout); err != nil || f.JSON {
		return err
	}
	if e.Route == "" {
		e.Route = "none"
	}
	fmt.Fprintf(stdout, "to %s: %s\nroute: %s, of the table %s\n", e.Upstream, e.Reason, e.Route, e.Table)
	for _, name := range slices.Sorted(maps.Keys(e.Params)) {
		fmt.Fprintf(stdout, "%s: %s\n", name, e.Params[name])
	}
	return nil
}

type reportFlags struct {
	operator
	Gate  string   `help:"Exit with 3 unless this route may be moved on, by its gate."`
	Peers []string `help:"Addresses for operators of the fleet's other proxies: for the gate, what they compared counts too." env:"BANYAN_PROXY_PEERS"`
}

func (f reportFlags) Run(ctx context.Context, stdout io.Writer) error {
	if f.Gate != "" {
		return f.gate(ctx, stdout)
	}
	var r proxy.Report
	if err := f.call(ctx, http.MethodGet, "/report", nil, &r, stdout); err != nil || f.JSON {
		return err
	}
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "STILL AT THE OLD API\tREQUESTS\tPER SECOND\tLAST SEEN")
	for _, e := range r.Traffic.Legacy {
		endpoint := "route " + e.Route
		if e.Route == "" {
			endpoint = e.Method + " " + e.Path
		}
		fmt.Fprintf(table, "%s\t%d\t%.2f\t%s\n", endpoint, e.Requests, e.PerSecond, e.LastSeen.Format(time.RFC3339))
	}
	fmt.Fprintln(table, "\nROUTE\tSIDE\tWHAT GOES WRONG")
	for _, one := range r.Traffic.Routes {
		for _, cause := range slices.Sorted(maps.Keys(one.Causes)) {
			fmt.Fprintf(table, "%s\t%s\t%d %s\n", one.Route, one.Side, one.Causes[cause], cause)
		}
	}
	fmt.Fprintln(table, "\nROUTE\tWATCHED BY\tSTATE")
	for _, one := range r.Routes {
		if one.Gate != nil {
			fmt.Fprintf(table, "%s\tgate\t%s\n", one.Route, gateState(one))
		}
		for _, v := range one.Guard {
			fmt.Fprintf(table, "%s\tguard, %s\t%s: %.2f%% bad of %.0f, the old API %.2f%%\n", one.Route, v.Budget, v.State, v.New, v.NewRequests, v.Legacy)
		}
	}
	return table.Flush()
}

func gateState(r proxy.RouteReport) string {
	if r.Gate.Open {
		return "open"
	}
	return fmt.Sprintf("closed: %d missing, %d fields differ", len(r.Gate.Missing), len(r.Gate.Unexplained))
}

// gate judges what all proxies of the fleet compared.
func (f reportFlags) gate(ctx context.Context, stdout io.Writer) error {
	var fleet diff.Ledger
	one := proxy.RouteReport{Route: f.Gate}
	for _, address := range append([]string{f.Admin}, f.Peers...) {
		asked := f.operator
		asked.Admin, asked.JSON = address, false
		var r proxy.Report
		if err := asked.call(ctx, http.MethodGet, "/report", nil, &r, nil); err != nil {
			return err
		}
		i := slices.IndexFunc(r.Routes, func(one proxy.RouteReport) bool { return one.Route == f.Gate && one.Gate != nil })
		if i < 0 {
			return fmt.Errorf("%w: the proxy at %s has no route %q with shadow", serving.ErrUsage, address, f.Gate)
		}
		if err := fleet.Merge(*r.Routes[i].Diff); err != nil {
			return fmt.Errorf("the proxy at %s has another route %q than %s: %w", address, f.Gate, f.Admin, err)
		}
		if one.Gate == nil {
			one.Gate = r.Routes[i].Gate
		}
	}
	report, verdict := fleet.Report(), fleet.Verdict(one.Gate.Gate)
	one.Diff, one.Gate = &report, &verdict
	if f.JSON {
		_ = json.NewEncoder(stdout).Encode(one)
	} else {
		fmt.Fprintf(stdout, "%s: %s\n", one.Route, gateState(one))
		for _, missing := range one.Gate.Missing {
			fmt.Fprintln(stdout, "  "+missing)
		}
		for _, field := range one.Gate.Unexplained {
			fmt.Fprintf(stdout, "  %s: %s, %d times, such as %s and %s\n", field.Path, field.Kind, field.Count, field.A, field.B)
		}
	}
	if one.Gate.Open {
		return nil
	}
	return &serving.ExitError{Code: exitClosed}
}

type overrideFlags struct {
	operator
	Route   string        `arg:"" help:"The route's name."`
	Mode    string        `help:"Where it goes: legacy, forward or split; clear: as the route file says again." enum:"legacy,forward,split,clear" default:"legacy"`
	Percent *float64      `help:"With split, the percentage that is forwarded."`
	For     time.Duration `help:"For how long; 0: until it is cleared."`
	reason
	Pinned bool `help:"Keep guards from changing it."`
}

func (f overrideFlags) Run(ctx context.Context, stdout io.Writer) error {
	path := "/overrides/" + url.PathEscape(f.Route)
	if f.Mode == "clear" {
		return f.call(ctx, http.MethodDelete, path+"?"+f.query().Encode(), nil, nil, stdout)
	}
	if f.Mode == "split" && f.Percent == nil {
		return fmt.Errorf("%w: --mode split needs --percent", serving.ErrUsage)
	}
	body := map[string]any{"mode": f.Mode, "by": f.by(), "why": f.Why, "pinned": f.Pinned}
	if f.Percent != nil {
		body["percent"] = *f.Percent
	}
	if f.For > 0 {
		body["for"] = f.For.String()
	}
	return f.call(ctx, http.MethodPut, path, body, nil, stdout)
}
