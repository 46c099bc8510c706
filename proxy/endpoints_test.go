package proxy_test

import (
	"context"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/proxy"
	"github.com/banyan-fig/banyan/proxy/cases"
	"github.com/banyan-fig/banyan/proxy/override"
	"github.com/banyan-fig/banyan/proxy/route"
)

// TestTenEndpoints plays the recorded pairs of proxy/mapping/endpoints.md to a proxy with the
// routes that stand there.
func TestTenEndpoints(t *testing.T) {
	page, err := os.ReadFile("mapping/endpoints.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := strings.Split(string(page), "\n## ")[1:11]
	blocks := regexp.MustCompile("(?s)```(yaml|http)\n(.*?)```")
	file := "version: 1\nlegacy: old\nsubject: {jwtSecretEnv: SECRET}\nroutes:\n"
	upstreams := map[string]bool{"old": true}
	behind := make([]string, len(sections))
	for i, section := range sections {
		src := blocks.FindStringSubmatch(section)[2]
		file += "  - " + strings.ReplaceAll(strings.TrimSpace(src), "\n", "\n    ") + "\n"
		behind[i] = regexp.MustCompile(`(?m)^upstream: (\w+)`).FindStringSubmatch(src)[1]
		upstreams[behind[i]] = true
	}
	file += "upstreams:\n"
	for name := range upstreams {
		file += "  " + name + ": {url: \"http://127.0.0.1\"}\n"
	}
	table, err := route.Compile("endpoints.md", []byte(file), testEnv(map[string]string{"SECRET": secret}))
	if err != nil {
		t.Fatal(err)
	}
	for i, section := range sections {
		title, _, _ := strings.Cut(section, "\n")
		t.Run(title, func(t *testing.T) {
			var m []*cases.Message
			for _, b := range blocks.FindAllStringSubmatch(section, -1)[1:] {
				one, err := cases.ParseMessage(b[2])
				if err != nil {
					t.Fatal(err)
				}
				m = append(m, one)
			}
			for n := 2; n < len(m); n += 2 {
				c := &cases.Case{Subject: "u1", Request: m[0], Behind: []cases.Step{{Upstream: behind[i], Request: m[1], Answer: m[n]}}, Answer: m[n+1]}
				result, err := cases.Run(t.Context(), table, c, openForCases)
				if err != nil {
					t.Fatal(err)
				}
				for _, d := range result.Differences {
					t.Error(d)
				}
			}
		})
	}
}

func openForCases(ctx context.Context, t *route.Table, o *override.Table) (http.Handler, func(), error) {
	p, err := proxy.New(ctx, t, proxy.Config{Overrides: o})
	return p, p.Close, err
}
