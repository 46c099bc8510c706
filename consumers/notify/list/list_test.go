package list_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/consumers/notify/channel"
	"github.com/banyan-fig/banyan/consumers/notify/channel/apns"
	"github.com/banyan-fig/banyan/consumers/notify/channel/channeltest"
	"github.com/banyan-fig/banyan/consumers/notify/list"
	"github.com/banyan-fig/banyan/consumers/notify/template"
	"github.com/banyan-fig/banyan/infra/backoff"
)

func TestMain(m *testing.M) {
	if os.Getenv(counterVariable) != "" {
		count()
		return
	}
	goleak.VerifyTestMain(m)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newConfig sends to a server of APNs. delivery is the template's.
func newConfig(t testing.TB, delivery template.Delivery, text []byte) (list.Config, *channeltest.Server) {
	t.Helper()
	server, key := channeltest.APNs(t)
	push, err := apns.New(apns.Config{
		Key: key, KeyID: channeltest.APNsKeyID, TeamID: channeltest.APNsTeamID, Topic: channeltest.APNsTopic, Host: server.URL, TLS: server.ClientTLS(),
	})
	must(t, err)
	t.Cleanup(push.Close)
	news, err := template.Parse("news", []byte(`{channels: [apns], delivery: `+string(delivery)+`, members: [who], locales: {en: {title: "News of {{.who}}"}}}`))
	must(t, err)
	path := filepath.Join(t.TempDir(), "list")
	must(t, os.WriteFile(path, text, 0o600))
	return list.Config{
		Campaign: list.Campaign{Name: "july", Template: news, Channels: map[string]channel.Channel{channel.APNs: push}},
		Path:     path, Concurrency: 8, Batch: 5, Backoff: backoff.Backoff{Min: time.Millisecond, Max: 4 * time.Millisecond},
	}, server
}

// token of the nth recipient.
func token(n int) string { return fmt.Sprintf("%08x", n) }

func csvOf(n int) []byte {
	var b bytes.Buffer
	b.WriteString("channel,token,who\n")
	for i := range n {
		fmt.Fprintf(&b, "apns,%s,Bob %d\n", token(i), i)
	}
	return b.Bytes()
}

func zip(text []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(text)
	_ = w.Close()
	return b.Bytes()
}

func TestFormats(t *testing.T) {
	var ndjson bytes.Buffer
	for i := range 23 {
		fmt.Fprintf(&ndjson, `{"channel":"apns","token":"%s","members":{"who":"Bob %d"}}`+"\n\n", token(i), i)
	}
	quoted := bytes.ReplaceAll(csvOf(23), []byte("Bob 7"), []byte(`"Bob 7"`))
	for name, text := range map[string][]byte{
		"csv": csvOf(23), "csv.gz": zip(csvOf(23)), "quoted": quoted, "crlf": bytes.ReplaceAll(csvOf(23), []byte("\n"), []byte("\r\n")),
		"ndjson": ndjson.Bytes(), "ndjson.gz": zip(ndjson.Bytes()), "bom": append([]byte("\ufeff"), csvOf(23)...),
	} {
		cfg, server := newConfig(t, template.AtLeastOnce, text)
		p, err := list.Send(t.Context(), cfg)
		if err != nil || !p.Complete || p.Results["sent"] != 23 || server.Count() != 23 || len(p.Results) != 1 {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		if got := server.Accepted(token(7)); len(got) != 1 || got[0].Title != "News of Bob 7" {
			t.Errorf("%s: the eighth got %+v", name, got)
		}
	}
}

// TestEachRecipientOnce: duplicates and invalid rows are counted, and told by their lines.
func TestEachRecipientOnce(t *testing.T) {
	text := append(csvOf(12), []byte("apns,"+token(3)+",Bob 3\nfax,1,Bob\napns,,Bob\napns,x\napns,not hexadecimal,Bob\n")...)
	cfg, server := newConfig(t, template.AtLeastOnce, text)
	p, err := list.Send(t.Context(), cfg)
	must(t, err)
	if p.Results["sent"] != 12 || p.Results[list.Duplicate] != 1 || p.Results[list.Invalid] != 3 || p.Results["rejected"] != 1 || server.Count() != 12 {
		t.Errorf("%+v", p)
	}
	failed, err := os.ReadFile(cfg.Path + ".failed")
	must(t, err)
	for _, line := range []string{`{"line":15,"result":"invalid"`, `{"line":17,"result":"invalid"`, `{"line":18,"result":"rejected","address":"apns#`} {
		if !strings.Contains(string(failed), line) {
			t.Errorf("no %s in %s", line, failed)
		}
	}
	if strings.Contains(string(failed), "hexadecimal\"") {
		t.Errorf("a token is shown: %s", failed)
	}
}

func TestDryRun(t *testing.T) {
	cfg, server := newConfig(t, template.AtLeastOnce, []byte(`{"channel":"apns","token":"aa","members":{"who":"Bob"}}
{"channel":"apns","token":"bb"}
{"channel":"fcm","token":"cc","members":{"who":"Bob"}}
{"user":"ada","members":{"who":"Bob"}}`))
	cfg.DryRun = true
	p, err := list.Send(t.Context(), cfg)
	files, _ := filepath.Glob(cfg.Path + ".*")
	if err != nil || p.Results[list.Ready] != 1 || p.Results[list.Invalid] != 3 || server.Count() != 0 || len(files) != 0 {
		t.Errorf("%+v, %v, %v", p, files, err)
	}
}

// TestRefused: lists and progress files that are not to be used say so, and nothing is sent.
func TestRefused(t *testing.T) {
	cfg, server := newConfig(t, template.AtLeastOnce, csvOf(3))
	_, err := list.Send(t.Context(), cfg)
	must(t, err)
	expect := func(want string, change func(c *list.Config)) {
		t.Helper()
		c := cfg
		change(&c)
		if _, err := list.Send(t.Context(), c); err == nil || !strings.Contains(err.Error(), want) || server.Count() != 3 {
			t.Errorf("%v, want %q; %d messages", err, want, server.Count())
		}
	}
	expect("has been sent", func(*list.Config) {})
	expect("of the template news", func(c *list.Config) {
		other := *c.Template
		other.Name = "other"
		c.Template = &other
	})
	must(t, os.WriteFile(cfg.Path, csvOf(4), 0o600))
	expect("the list was edited", func(*list.Config) {})
	for text, want := range map[string]string{
		"": "is empty", "a,b\n1,2\n": "needs the column user", "user,user\n": "twice",
		"user\n" + strings.Repeat("x", 70_000) + "\n": "token too long",
	} {
		must(t, os.WriteFile(cfg.Path, []byte(text), 0o600))
		expect(want, func(c *list.Config) { c.Progress = filepath.Join(t.TempDir(), "progress") })
	}
}

// TestProviderInTrouble: what it refuses is sent later, what it denies stops the list, and
// the same command goes on where that was.
func TestProviderInTrouble(t *testing.T) {
	cfg, server := newConfig(t, template.AtLeastOnce, csvOf(40))
	var allowed atomic.Bool // requests of the first run may still be on their way
	server.Answer(func(p channeltest.Push, nth int) channeltest.Answer {
		switch {
		case p.Token == token(25) && !allowed.Load():
			return channeltest.Answer{Status: 403, Body: `{"reason":"InvalidProviderToken"}`}
		case nth%3 == 1:
			return channeltest.Answer{Status: 503}
		case nth%3 == 2:
			return channeltest.Answer{Status: 429}
		}
		return channeltest.Answer{Last: p.Token == token(9)} // GOAWAY
	})
	p, err := list.Send(t.Context(), cfg)
	if err == nil || !strings.Contains(err.Error(), "line 27") || !strings.Contains(err.Error(), "InvalidProviderToken") || p.Complete {
		t.Fatalf("%+v, %v", p, err)
	}
	allowed.Store(true)
	p, err = list.Send(t.Context(), cfg)
	if err != nil || p.Results["sent"] != 40 {
		t.Errorf("%+v, %v", p, err)
	}
	for i := range 40 {
		if n := len(server.Accepted(token(i))); n == 0 {
			t.Errorf("recipient %d got nothing", i)
		}
	}
}

// TestStoppedNothingIsSentTwice: a stopped run finishes what it began, and the next goes on.
func TestStoppedNothingIsSentTwice(t *testing.T) {
	for _, delivery := range []template.Delivery{template.AtLeastOnce, template.AtMostOnce} {
		cfg, server := newConfig(t, delivery, csvOf(100))
		for run := 0; ; run++ {
			ctx, stop := context.WithCancel(t.Context())
			until := (run + 1) * 17
			server.Answer(func(channeltest.Push, int) channeltest.Answer {
				if until--; until == 0 {
					stop()
				}
				return channeltest.Answer{}
			})
			p, err := list.Send(ctx, cfg)
			stop()
			if p.Complete {
				must(t, err)
				break
			}
			if int(p.Results["sent"]) != server.Count() || run > 20 {
				t.Fatalf("run %d: %+v, %v; %d arrived", run, p, err, server.Count())
			}
		}
		for i := range 100 {
			if n := len(server.Accepted(token(i))); n != 1 {
				t.Errorf("%s: recipient %d got %d messages", delivery, i, n)
			}
		}
	}
}

// TestCrashedAnywhere: whatever progress file a crash leaves, the next run loses nobody, or
// sends to nobody twice, as the template says, and repeats or leaves out only what was
// under way. A crash leaves any version of the file that was written; here they are copied
// while a run goes on.
func TestCrashedAnywhere(t *testing.T) {
	for _, delivery := range []template.Delivery{template.AtLeastOnce, template.AtMostOnce} {
		for seed := range uint64(5) {
			cfg, server := newConfig(t, delivery, csvOf(120))
			random := rand.New(rand.NewPCG(seed, 1))
			crash := 1 + random.IntN(110)
			var left []byte
			server.Answer(func(channeltest.Push, int) channeltest.Answer {
				if crash--; crash == 0 {
					left, _ = os.ReadFile(cfg.Path + ".progress")
				}
				return channeltest.Answer{Lost: crash == 0 && delivery == template.AtLeastOnce, Status: map[bool]int{true: 403}[crash < 0]} // nothing leaves a dead process
			})
			_, err := list.Send(t.Context(), cfg)
			if err == nil {
				t.Fatalf("seed %d: the run did not crash", seed)
			}
			if must(t, os.RemoveAll(cfg.Path+".progress")); left != nil {
				must(t, os.WriteFile(cfg.Path+".progress", left, 0o600))
			}
			server.Answer(nil)
			p, err := list.Send(t.Context(), cfg)
			must(t, err)
			checkCrashed(t, seed, delivery, server, p)
		}
	}
}

func checkCrashed(t *testing.T, seed uint64, delivery template.Delivery, server *channeltest.Server, p list.Progress) {
	t.Helper()
	none, twice := 0, 0
	for i := range 120 {
		switch n := len(server.Accepted(token(i))); {
		case n == 0:
			none++
		case n > 1:
			twice++
		}
	}
	const underWay = 8 + 2*5 // as the package comment has it
	if delivery == template.AtLeastOnce && none > 0 || delivery == template.AtMostOnce && (twice > 0 || none > underWay || none > 0 && len(p.Uncertain) == 0) {
		t.Errorf("seed %d, %s: %d got nothing, %d more than one; %+v", seed, delivery, none, twice, p)
	}
}

func TestRate(t *testing.T) {
	cfg, _ := newConfig(t, template.AtLeastOnce, csvOf(30))
	cfg.Rate = 100
	begin := time.Now()
	_, err := list.Send(t.Context(), cfg)
	must(t, err)
	if took := time.Since(begin); took < 190*time.Millisecond { // 10 at once, 20 more
		t.Errorf("30 recipients at 100 a second took %v", took)
	}
}

// FuzzRows: whatever a list has, each line is counted once, and the dry run ends.
func FuzzRows(f *testing.F) {
	f.Add("user\nada\nbob\n")
	f.Add("{\"user\":\"ada\"}\n{\"user\":1}\n\n")
	f.Add("channel,token,\"a b\"\napns,\"x\",\"y\n")
	f.Fuzz(func(t *testing.T, text string) {
		news, err := template.Parse("news", []byte(`{channels: [apns], locales: {en: {title: News}}}`))
		must(t, err)
		path := filepath.Join(t.TempDir(), "list")
		must(t, os.WriteFile(path, []byte(text), 0o600))
		p, err := list.Send(t.Context(), list.Config{Campaign: list.Campaign{Name: "x", Template: news}, Path: path, DryRun: true})
		if err != nil {
			return
		}
		var n int64
		for _, count := range p.Results {
			n += count
		}
		if lines := int64(strings.Count(text, "\n") + 1); n > lines {
			shown, _ := json.Marshal(p)
			t.Errorf("%d results of %d lines: %s", n, lines, shown)
		}
	})
}
