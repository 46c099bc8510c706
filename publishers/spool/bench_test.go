package spool_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/banyan-fig/banyan/infra/eventually"
	"github.com/banyan-fig/banyan/publishers"
	"github.com/banyan-fig/banyan/publishers/spool"
)

const benchSize = 400

var benchData = bytes.Repeat([]byte("x"), benchSize)

func benchKey(i int) string { return fmt.Sprintf("59b99db4cfa9a34dcd%06x", i%1000) }

// BenchmarkEnqueue takes events in as fast as one caller can, and waits for the
// last: what a relay does.
func BenchmarkEnqueue(b *testing.B) {
	s := open(b, spool.Config{Path: filepath.Join(b.TempDir(), "s"), MaxBytes: 64 << 30})
	b.ReportAllocs()
	b.ResetTimer()
	var last publishers.Receipt
	for i := range b.N {
		last = take(b, s, benchKey(i))
	}
	wait(b, last)
	perSecond(b)
}

// BenchmarkThrough takes events in and passes them on at the same time, to a
// destination that takes them at once.
func BenchmarkThrough(b *testing.B) {
	s := open(b, spool.Config{Path: filepath.Join(b.TempDir(), "s"), MaxBytes: 64 << 30})
	ctx, cancel := context.WithCancel(context.Background())
	var draining sync.WaitGroup
	draining.Go(func() { _ = s.Drain(ctx, nowhere{}) })
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		take(b, s, benchKey(i))
	}
	eventually.True(b, "all forwarded", func() bool { return s.Status().Forwarded >= uint64(b.N) })
	perSecond(b)
	cancel()
	draining.Wait()
	b.ReportMetric(float64(s.Status().FileBytes)/(1<<20), "file-MiB")
}

// BenchmarkDrain empties a full spool.
func BenchmarkDrain(b *testing.B) {
	s := open(b, spool.Config{Path: filepath.Join(b.TempDir(), "s"), MaxBytes: 64 << 30})
	var last publishers.Receipt
	for i := range b.N {
		last = take(b, s, benchKey(i))
	}
	wait(b, last)
	b.ReportAllocs()
	b.ResetTimer()
	if err := s.DrainAll(context.Background(), nowhere{}); err != nil {
		b.Fatal(err)
	}
	perSecond(b)
}

// BenchmarkLatency is how long callers wait for a receipt, of whom so many
// publish one event after the other.
func BenchmarkLatency(b *testing.B) {
	for _, callers := range []int{1, 16, 128} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			s := open(b, spool.Config{Path: filepath.Join(b.TempDir(), "s"), MaxBytes: 64 << 30})
			took := make([]time.Duration, b.N)
			var calling sync.WaitGroup
			b.ResetTimer()
			for c := range callers {
				calling.Go(func() {
					for i := c; i < b.N; i += callers {
						start := time.Now()
						wait(b, take(b, s, benchKey(i)))
						took[i] = time.Since(start)
					}
				})
			}
			calling.Wait()
			perSecond(b)
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
		})
	}
}

// BenchmarkPlain is what the spool is compared with: a file that is written and
// synced for each event, bbolt with a transaction for each, and both with so many
// events for each sync.
func BenchmarkPlain(b *testing.B) {
	for _, batch := range []int{1, 128} {
		b.Run(fmt.Sprintf("file/%d", batch), func(b *testing.B) {
			f, err := os.Create(filepath.Join(b.TempDir(), "f"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			for i := 0; i < b.N; i += batch {
				if _, err := f.Write(bytes.Repeat(benchData, batch)); err != nil {
					b.Fatal(err)
				}
				if err := f.Sync(); err != nil {
					b.Fatal(err)
				}
			}
			perSecond(b)
		})
		b.Run(fmt.Sprintf("bbolt/%d", batch), func(b *testing.B) {
			db, err := bolt.Open(filepath.Join(b.TempDir(), "b"), 0o600, nil)
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			for i := 0; i < b.N; i += batch {
				if err := db.Update(func(tx *bolt.Tx) error { return plainPut(tx, batch) }); err != nil {
					b.Fatal(err)
				}
			}
			perSecond(b)
		})
	}
}

func plainPut(tx *bolt.Tx, n int) error {
	bucket, err := tx.CreateBucketIfNotExists([]byte("b"))
	for range n {
		if err != nil {
			return err
		}
		number, _ := bucket.NextSequence()
		err = bucket.Put(fmt.Appendf(nil, "%020d", number), benchData)
	}
	return err
}

func take(b *testing.B, s *spool.Spool, key string) publishers.Receipt {
	r, err := s.EnqueueEncoded(context.Background(), key, benchData)
	if err != nil {
		b.Fatal(err)
	}
	return r
}

func wait(b *testing.B, r publishers.Receipt) {
	if _, err := r.Wait(context.Background()); err != nil {
		b.Fatal(err)
	}
}

func perSecond(b *testing.B) { b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s") }

// nowhere takes everything at once and forgets it.
type nowhere struct{ publishers.Publisher }

func (nowhere) EnqueueEncoded(context.Context, string, []byte) (publishers.Receipt, error) {
	return settled{}, nil
}
