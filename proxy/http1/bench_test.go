package http1_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

// BenchmarkExchange is a request with seven headers and an answer of 1 KB from a server
// that costs next to nothing, beside net/http's Transport: GET, and POST of 1 KB.
func BenchmarkExchange(b *testing.B) {
	answer := []byte("HTTP/1.1 200 OK\r\nServer: x\r\nDate: Mon, 30 Nov 2026 11:30:00 GMT\r\nContent-Type: application/json\r\n" +
		"Cache-Control: no-store\r\nContent-Length: 1024\r\n\r\n" + strings.Repeat("x", 1024))
	p := newPeer(b, func(w *wirePeer) {
		buf := make([]byte, 4096)
		for {
			if n, err := w.Conn.Read(buf); n == 0 || err != nil {
				return
			}
			_, _ = w.Conn.Write(answer)
		}
	})
	theirs := &http.Transport{DisableCompression: true}
	defer theirs.CloseIdleConnections()
	body := bytes.Repeat([]byte("y"), 1024)
	for _, method := range []string{"GET", "POST"} {
		for name, tr := range map[string]http.RoundTripper{"http1": newTransport(b), "net_http": theirs} {
			b.Run(method+"/"+name, func(b *testing.B) {
				ctx, cancel := context.WithCancel(b.Context())
				defer cancel()
				req, _ := http.NewRequestWithContext(ctx, method, p.url+"/orders/17?x=1", nil)
				for _, h := range []string{"Accept", "Accept-Language", "Authorization", "User-Agent", "X-Forwarded-For", "X-Request-Id", "Traceparent"} {
					req.Header.Set(h, "a value of some length")
				}
				buf := make([]byte, 32<<10)
				b.ReportAllocs()
				for b.Loop() {
					if method == "POST" {
						req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
					}
					resp, err := tr.RoundTrip(req)
					if err != nil {
						b.Fatal(err)
					}
					for n := 0; err == nil; n, err = resp.Body.Read(buf) {
						_ = n
					}
					resp.Body.Close()
				}
			})
		}
	}
}
