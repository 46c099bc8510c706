package md5lanes_test

import (
	"crypto/md5"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/banyan-fig/banyan/events/aggregate/internal/md5lanes"
)

func check(t *testing.T, messages [][]byte) {
	t.Helper()
	sums := make([][md5lanes.Size]byte, len(messages))
	md5lanes.Sums(sums, messages)
	for i, m := range messages {
		if want := md5.Sum(m); sums[i] != want {
			t.Fatalf("message %d of %d with %d bytes: %x, want %x", i, len(messages), len(m), sums[i], want)
		}
	}
}

func text(rnd *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

func TestSumsAreThoseOfTheStandardLibrary(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	for number := range 20 {
		for _, most := range []int{1, 64, 65, 200, 5000, 40_000} {
			messages := make([][]byte, number)
			for i := range messages {
				messages[i] = text(rnd, rnd.IntN(most))
			}
			check(t, messages)
		}
	}
}

func TestAllShortLengths(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for n := range 200 {
		messages := make([][]byte, 9)
		for i := range messages {
			messages[i] = text(rnd, n+i%2*64)
		}
		check(t, messages)
	}
}

func FuzzSums(f *testing.F) {
	f.Add([]byte("abc"), uint16(1), uint8(16))
	f.Add(make([]byte, 1000), uint16(64), uint8(40))
	f.Fuzz(func(t *testing.T, data []byte, step uint16, number uint8) {
		messages := make([][]byte, number)
		for i := range messages {
			messages[i] = data[min(len(data), i*int(step)):]
		}
		check(t, messages)
	})
}

func BenchmarkSums(b *testing.B) {
	for _, number := range []int{1, 2, 3, 8, 16} {
		b.Run(fmt.Sprint(number), func(b *testing.B) {
			messages := make([][]byte, number)
			for i := range messages {
				messages[i] = make([]byte, 64<<10)
			}
			sums := make([][md5lanes.Size]byte, number)
			b.SetBytes(int64(number * 64 << 10))
			b.ReportAllocs()
			for b.Loop() {
				md5lanes.Sums(sums, messages)
			}
		})
	}
}
