package sidecar_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/publishers/sidecar"
)

// BenchmarkRequest is what the handler adds to net/http and the publisher, for
// events with 200 bytes of data.
func BenchmarkRequest(b *testing.B) {
	data := `"` + strings.Repeat("x", 198) + `"`
	one := with("data", data)
	for _, c := range []struct {
		name, body string
		events     int
		headers    []string
	}{
		{"binary", data, 1, binary("1")},
		{"structured", one, 1, []string{"Content-Type", structured}},
		{"batch of 100", "[" + strings.Repeat(one+",", 99) + one + "]", 100, []string{"Content-Type", batched}},
	} {
		b.Run(c.name, func(b *testing.B) {
			h, err := sidecar.New(sidecar.Config{Publisher: keeper{}})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(http.MethodPost, sidecar.Path, strings.NewReader(c.body))
				for i := 0; i < len(c.headers); i += 2 {
					r.Header.Set(c.headers[i], c.headers[i+1])
				}
				w := httptest.NewRecorder()
				if h.ServeHTTP(w, r); w.Code != http.StatusOK {
					b.Fatal(w.Body)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*c.events), "ns/event")
		})
	}
}
