package list_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/consumers/notify/channel"
	"github.com/banyan-fig/banyan/consumers/notify/channel/apns"
	"github.com/banyan-fig/banyan/consumers/notify/list"
	"github.com/banyan-fig/banyan/consumers/notify/template"
)

// counterVariable makes the test binary the counting server.
const counterVariable = "BANYAN_TEST_COUNTER"

// count is a server that counts the requests of HTTP/2, in a process of its own, until its
// standard input ends. Its address and certificate are its first line, the count its second.
func count() {
	var n atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil && r.ProtoMajor == 2 {
			n.Add(1)
		}
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	fmt.Println(server.URL, base64.StdEncoding.EncodeToString(server.Certificate().Raw))
	_, _ = io.Copy(io.Discard, os.Stdin)
	fmt.Println(n.Load())
}

// BenchmarkSend sends a list by APNs' protocol on one core: GOMAXPROCS is 1 for this
// process, and the counting server is another. recipients/s is by the wall clock,
// recipients/cpu-s by the time that this process used of its core, reading the list,
// keeping progress and TLS included, which says the same on a machine that has more to do.
func BenchmarkSend(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	server := exec.Command(os.Args[0])
	server.Env = append(os.Environ(), counterVariable+"=1")
	stop, err := server.StdinPipe()
	must(b, err)
	stdout, err := server.StdoutPipe()
	must(b, err)
	must(b, server.Start())
	defer func() { _ = stop.Close(); _ = server.Wait() }()
	said := bufio.NewScanner(stdout)
	said.Scan()
	url, encoded, _ := strings.Cut(said.Text(), " ")
	cfg := benchConfig(b, url, encoded)
	b.ResetTimer()
	used := cpu(b)
	p, err := list.Send(b.Context(), cfg)
	must(b, err)
	used = cpu(b) - used
	b.StopTimer()
	must(b, stop.Close())
	if said.Scan(); said.Text() != fmt.Sprint(b.N) || p.Results["sent"] != int64(b.N) {
		b.Errorf("the server counted %s of %d: %v", said.Text(), b.N, p.Results)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "recipients/s")
	b.ReportMetric(float64(b.N)/used.Seconds(), "recipients/cpu-s")
}

func benchConfig(b *testing.B, url, encoded string) list.Config {
	b.Helper()
	raw, err := base64.StdEncoding.DecodeString(encoded)
	must(b, err)
	certificate, err := x509.ParseCertificate(raw)
	must(b, err)
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(b, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(b, err)
	push, err := apns.New(apns.Config{
		Key: string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), KeyID: "k", TeamID: "t", Topic: "x",
		Host: url, TLS: &tls.Config{RootCAs: roots},
	})
	must(b, err)
	b.Cleanup(push.Close)
	news, err := template.Parse("news", []byte(`{channels: [apns], members: [who], locales: {en: {title: "News of {{.who}}"}}}`))
	must(b, err)
	path := filepath.Join(b.TempDir(), "list.csv.gz")
	must(b, os.WriteFile(path, zip(csvOf(b.N)), 0o600))
	return list.Config{Campaign: list.Campaign{Name: "b", Template: news, Channels: map[string]channel.Channel{channel.APNs: push}}, Path: path}
}

// cpu is the time that this process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
