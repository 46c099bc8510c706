package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/sandbox"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
	"github.com/banyan-fig/banyan/infra/serving/servingtest"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/publishers/streamtest"
)

func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"banyan-entity": main}) }

func TestReference(t *testing.T) { servingtest.Reference(t, newCommand()) }

const orders = `
entity: orders
source: {collection: orders}
target: {table: orders, key: {type: string}}
versionField: version
outbox: {field: _outbox, table: orders-outbox}
`

// world is the databases and the stream of a gateway in a process of its own.
type world struct {
	*testing.T
	box     *sandbox.Sandbox
	env     []string
	plan    string // file
	kinesis *awskinesis.Client
}

func newWorld(t *testing.T, owner ownership.Store) *world {
	box, err := sandbox.Start(t.Context(), sandbox.Config{Environ: []string{}})
	must(t, err)
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		must(t, box.Close())
	})
	w := &world{T: t, box: box, env: append(os.Environ(), box.Env()...), plan: filepath.Join(t.TempDir(), "orders.yaml")}
	must(t, os.WriteFile(w.plan, []byte(orders), 0o600))
	base := aws.Config{Region: "us-east-1", HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", "")}
	for _, kv := range box.Env() {
		if url, ok := strings.CutPrefix(kv, "AWS_ENDPOINT_URL="); ok {
			base.BaseEndpoint = &url
		}
	}
	tables := awsdynamodb.NewFromConfig(base)
	w.kinesis = awskinesis.NewFromConfig(base)
	must(t, box.CreateStream(t.Context(), "banyan-events", 1))
	p, err := plan.Read(w.plan)
	must(t, err)
	for _, in := range p.TableInputs() {
		_, err := tables.CreateTable(t.Context(), in)
		must(t, err)
	}
	control := ownership.NewTable(tables, "")
	must(t, control.Ensure(t.Context()))
	if owner == ownership.DynamoDB {
		r, err := control.Load(t.Context(), "orders")
		must(t, err)
		_, err = control.Update(t.Context(), r, func(r *ownership.Record) { r.Owner, r.Epoch, r.Phase = owner, 2, ownership.Switched })
		must(t, err)
	}
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start runs banyan-entity serve, and waits until it is ready.
func (w *world) start(args ...string) *exec.Cmd {
	w.Helper()
	self, err := os.Executable()
	must(w, err)
	admin := servingtest.Address(w.T)
	var log bytes.Buffer
	args = append([]string{"banyan-entity", "serve", "--plan", w.plan, "--admin-listen", admin, "--sweep-every=100ms", "--sweep-age=2s"}, args...)
	cmd := &exec.Cmd{Path: self, Args: args, Env: w.env, Stdout: &log, Stderr: &log}
	must(w, cmd.Start())
	w.Cleanup(func() { w.kill(cmd) })
	w.eventually("banyan-entity is ready", func() bool {
		res, err := http.Get("http://" + admin + "/readyz")
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	return cmd
}

func (w *world) kill(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

func (w *world) eventually(what string, done func() bool) {
	w.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("%s: waited too long", what)
		}
	}
}

// send makes a request, and returns its status and headers, 0 where there is no answer, and its body.
func send(client *http.Client, method, url, body string, headers ...string) (int, http.Header, string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, nil, err.Error()
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	res, err := client.Do(r)
	if err != nil {
		return 0, nil, err.Error()
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	return res.StatusCode, res.Header, string(text)
}

// TestKilledInAWrite: the process is killed when a write under a key has taken effect, and its
// event is not on the stream. Repeated at another process the request has no second effect, is
// answered as it would have been, and the position that is told is that of the event.
func TestKilledInAWrite(t *testing.T) {
	for _, owner := range []ownership.Store{ownership.MongoDB, ownership.DynamoDB} {
		t.Run(string(owner), func(t *testing.T) {
			w := newWorld(t, owner)
			api := servingtest.Address(t)
			url := "http://" + api + "/v1/orders/x"
			process := w.start("--listen", api)
			if status, _, body := send(http.DefaultClient, "PUT", url, `{"n":1}`, "Content-Type: application/json"); status != 201 {
				t.Fatal(status, body)
			}
			stuck, err := fault.Parse("delay 1m\nkinesis.PutRecords timeout-before=1")
			must(t, err)
			must(t, w.box.Faults().SetPlan(stuck))
			write := func() (int, http.Header, string) {
				return send(http.DefaultClient, "PATCH", url, `{"patch":{"n":2},"events":[{"type":"order.changed","data":{"n":2}}]}`,
					"Content-Type: application/vnd.banyan.write+json", "Idempotency-Key: k", `If-Match: "1"`)
			}
			answered := make(chan int, 1)
			go func() { status, _, _ := write(); answered <- status }()
			w.eventually("the write has its effect", func() bool {
				_, _, body := send(http.DefaultClient, "GET", url, "")
				return strings.Contains(body, `"n":2`)
			})
			w.kill(process)
			if status := <-answered; status != 0 {
				t.Fatalf("the write was answered with %d: this tested nothing", status)
			}
			must(t, w.box.Faults().SetPlan(fault.Plan{}))
			w.start("--listen", api)
			status, header, body := write()
			if status != 200 || header.Get("ETag") != `"2"` || header.Get("Idempotency-Replayed") != "true" || !strings.Contains(body, `"n":2`) {
				t.Errorf("repeated: %d %v %s", status, header, body)
			}
			records, err := streamtest.Records(t.Context(), w.kinesis, "banyan-events")
			must(t, err)
			var at []string
			for _, r := range records {
				at = append(at, r.Position.String())
			}
			if told := header.Get(events.HeaderWritten); len(at) == 0 || told != at[len(at)-1] {
				t.Errorf("told is %q, on the stream are %v", told, at)
			}
		})
	}
}

// TestWhoIsLetIn: by a token, by a certificate, by the mode of a socket.
func TestWhoIsLetIn(t *testing.T) {
	w := newWorld(t, ownership.DynamoDB)
	dir := t.TempDir()
	api, mutual := servingtest.Address(t), servingtest.Address(t)
	first, second := strings.Repeat("a", 32), strings.Repeat("b", 40)
	tokens := filepath.Join(dir, "tokens")
	must(t, os.WriteFile(tokens, []byte(first+"\n"), 0o600))
	ca, server, client := certificates(t, dir, api, mutual)
	w.start("--listen", api, "--token-file", tokens, "--tls-cert", server+".pem", "--tls-key", server+".key")
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(read(t, ca))
	known := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	url := "https://" + api + "/v1/orders"
	for _, c := range []struct {
		header string
		status int
	}{{"X: y", 401}, {"Authorization: Bearer " + first, 200},
		{"Authorization: bearer " + second, 401}, {"Authorization: Basic " + first, 401}, {"Authorization: Bearer", 401}} {
		if status, header, body := send(known, "GET", url, "", c.header); status != c.status || status == 401 && header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s: %d %v %s", c.header, status, header, body)
		}
	}
	must(t, os.WriteFile(tokens, []byte(second), 0o600))
	if status, _, body := send(known, "GET", url, "", "Authorization: Bearer "+second); status != 200 {
		t.Errorf("the new token: %d %s", status, body)
	}

	w.start("--listen", mutual, "--tls-cert", server+".pem", "--tls-key", server+".key", "--client-ca", ca)
	if status, _, _ := send(known, "GET", "https://"+mutual+"/v1/orders", ""); status != 0 {
		t.Errorf("without a certificate: %d", status)
	}
	own, err := tls.LoadX509KeyPair(client+".pem", client+".key")
	must(t, err)
	certified := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{own}}}}
	if status, _, body := send(certified, "GET", "https://"+mutual+"/v1/orders", ""); status != 200 {
		t.Errorf("with a certificate: %d %s", status, body)
	}

	socket := filepath.Join(dir, "s")
	process := w.start("--listen", "unix:"+socket)
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	local := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	if status, _, body := send(local, "GET", "http://gateway/openapi.json", ""); status != 200 || !strings.Contains(body, `"openapi":"3.0.3"`) {
		t.Errorf("by the socket: %d %s", status, body)
	}
	local.CloseIdleConnections()
	must(t, process.Process.Signal(os.Interrupt))
	must(t, process.Wait()) // exits with 0
}

func read(t *testing.T, file string) []byte {
	text, err := os.ReadFile(file)
	must(t, err)
	return text
}

// certificates writes an authority, and a server's and a client's certificate for addresses,
// with its key.
func certificates(t *testing.T, dir string, addresses ...string) (ca, server, client string) {
	t.Helper()
	var hosts []net.IP
	for _, a := range addresses {
		hosts = append(hosts, net.IP(netip.MustParseAddrPort(a).Addr().AsSlice()))
	}
	write := func(name, kind string, b []byte) {
		must(t, os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600))
	}
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.CreateCertificate(rand.Reader, root, root, &rootKey.PublicKey, rootKey)
	must(t, err)
	write("ca.pem", "CERTIFICATE", der)
	for i, name := range []string{"server", "client"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(t, err)
		leaf := &x509.Certificate{SerialNumber: big.NewInt(int64(i) + 2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
			IPAddresses: hosts, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
		der, err := x509.CreateCertificate(rand.Reader, leaf, root, &key.PublicKey, rootKey)
		must(t, err)
		write(name+".pem", "CERTIFICATE", der)
		private, err := x509.MarshalECPrivateKey(key)
		must(t, err)
		write(name+".key", "EC PRIVATE KEY", private)
	}
	return filepath.Join(dir, "ca.pem"), filepath.Join(dir, "server"), filepath.Join(dir, "client")
}

// TestWrongUsage: what cannot be meant is refused before anything is opened.
func TestWrongUsage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "orders.yaml")
	must(t, os.WriteFile(file, []byte(orders), 0o600))
	t.Setenv("MONGODB_URI", "mongodb://127.0.0.1:1/legacy")
	for _, c := range []struct {
		args, says string
	}{
		{"serve --plan FILE --listen 0.0.0.0:0", "give --tokens"}, {"serve --plan FILE --listen :8084", "give --tokens"}, {"serve", "--plan is required"},
		{"serve --plan FILE --listen x", "host:port"}, {"serve --plan FILE --tls-cert FILE", "go together"}, {"serve --plan FILE --max-body 1", "--max-body"},
		{"serve --plan FILE --tokens x --token-file FILE", "exclude"}, {"openapi --plan FILEx", "orders.yamlx"}, {"serve --plan FILEx", "orders.yamlx"},
	} {
		var out, log bytes.Buffer
		args := strings.Fields(strings.ReplaceAll(c.args, "FILE", file))
		if code := newCommand().Execute(t.Context(), args, &out, &log); code != 2 || !strings.Contains(log.String(), c.says) {
			t.Errorf("%s: %d %s", c.args, code, log.String())
		}
	}
	var out, log bytes.Buffer
	code := newCommand().Execute(t.Context(), []string{"serve", "--plan", file, "--tokens", "short"}, &out, &log)
	if code != 1 || !strings.Contains(log.String(), "at least 32") {
		t.Error(code, log.String())
	}
	code = newCommand().Execute(t.Context(), []string{"openapi", "--plan", file}, &out, &log)
	if code != 0 || !strings.Contains(out.String(), `"/v1/orders/{id}"`) {
		t.Error(code, out.String())
	}
}
