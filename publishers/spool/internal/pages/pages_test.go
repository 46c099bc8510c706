package pages_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/banyan-fig/banyan/publishers/spool/internal/pages"
)

// database makes a bbolt file with two buckets of which one is small, and
// returns its bytes and what is in it.
func database(t testing.TB, rnd *rand.Rand, pageSize, entries int) ([]byte, map[string]string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: pageSize, NoFreelistSync: true, FreelistType: bolt.FreelistMapType, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[string]string)
	for len(want) < entries {
		err = errors.Join(err, db.Update(func(tx *bolt.Tx) error {
			small, err := tx.CreateBucketIfNotExists([]byte("small"))
			if err != nil {
				return err
			}
			want["small/a"] = "b"
			if err := small.Put([]byte("a"), []byte("b")); err != nil {
				return err
			}
			large, err := tx.CreateBucketIfNotExists([]byte("large"))
			for range min(50, entries) {
				key, value := fmt.Sprintf("%06d", rnd.IntN(1_000_000)), bytes.Repeat([]byte("v"), rnd.IntN(3*pageSize/2))
				err = errors.Join(err, large.Put([]byte(key), value))
				want["large/"+key] = string(value)
			}
			left := min(10, entries/50)
			for key := range want {
				if left--; left > 0 && key != "small/a" {
					err = errors.Join(err, large.Delete([]byte(key[6:])))
					delete(want, key)
				}
			}
			return err
		}))
	}
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b, want
}

// TestWalkSeesWhatBboltWrote compares for several sizes of pages.
func TestWalkSeesWhatBboltWrote(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	for _, pageSize := range []int{1024, 4096, 16384} {
		for _, entries := range []int{2, 100, 3000} {
			b, want := database(t, rnd, pageSize, entries)
			f := pages.New(bytes.NewReader(b), int64(len(b)))
			m, both, err := f.Meta()
			if err != nil || !both || !f.IsBolt() {
				t.Fatalf("seed %d: meta: %v, %v", seed, both, err)
			}
			got := make(map[string]string)
			last := ""
			err = f.Walk(m, func(bucket string, key, value []byte) error {
				name := bucket + "/" + string(key)
				if name <= last {
					t.Errorf("%s comes after %s", name, last)
				}
				last, got[name] = name, string(value)
				return nil
			})
			if err != nil || !maps.Equal(got, want) {
				t.Errorf("seed %d: pages of %d: %d entries of %d: %v", seed, pageSize, len(got), len(want), err)
			}
			from := fmt.Sprintf("%06d", rnd.IntN(1_000_000))
			for key := range want {
				if key[6:] < from || key == "small/a" {
					delete(want, key)
				}
			}
			clear(got)
			err = f.Bucket(m, "large", []byte(from), func(bucket string, key, value []byte) error {
				got[bucket+"/"+string(key)] = string(value)
				return nil
			})
			if err != nil || !maps.Equal(got, want) {
				t.Errorf("seed %d: pages of %d: %d entries of %d from %s: %v", seed, pageSize, len(got), len(want), from, err)
			}
			first := 0
			err = f.Bucket(m, "large", nil, func(string, []byte, []byte) error { first++; return pages.Stop })
			if err != nil || first != 1 {
				t.Errorf("stopped after %d: %v", first, err)
			}
		}
	}
}

// TestDamageIsFound breaks what holds the tree together.
func TestDamageIsFound(t *testing.T) {
	b, _ := database(t, rand.New(rand.NewPCG(1, 1)), 4096, 500)
	root := newest(t, b)
	for name, breakIt := range map[string]func(b []byte) []byte{
		"cut off":         func(b []byte) []byte { return b[:root.High*4096-5000] },
		"no root":         func(b []byte) []byte { b[40], b[4096+40] = b[40]^1, b[4096+40]^1; return b },
		"not its own id":  func(b []byte) []byte { b[root.Root*4096]++; return b },
		"another type":    func(b []byte) []byte { b[root.Root*4096+8] = 16; return b },
		"too many":        func(b []byte) []byte { b[root.Root*4096+11] = 255; return b },
		"long overflow":   func(b []byte) []byte { b[root.Root*4096+14] = 255; return b },
		"key out of page": func(b []byte) []byte { b[root.Root*4096+16+4+2] = 255; return b },
	} {
		broken := breakIt(bytes.Clone(b))
		f := pages.New(bytes.NewReader(broken), int64(len(broken)))
		m, _, err := f.Meta()
		if err == nil {
			err = f.Walk(m, func(string, []byte, []byte) error { return nil })
		}
		var damage *pages.Damage
		if !errors.As(err, &damage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func newest(t *testing.T, b []byte) pages.Meta {
	t.Helper()
	m, _, err := pages.New(bytes.NewReader(b), int64(len(b))).Meta()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestACircleIsFound lets a branch refer to itself.
func TestACircleIsFound(t *testing.T) {
	b, _ := database(t, rand.New(rand.NewPCG(2, 2)), 1024, 3000)
	for id := 2; id < len(b)/1024; id++ {
		if page := b[id*1024:]; page[8] == 1 { // a branch
			binary.NativeEndian.PutUint64(page[16+8:], uint64(id))
		}
	}
	f := pages.New(bytes.NewReader(b), int64(len(b)))
	m, _, err := f.Meta()
	if err == nil {
		err = f.Walk(m, func(string, []byte, []byte) error { return nil })
	}
	var damage *pages.Damage
	if !errors.As(err, &damage) {
		t.Error(err)
	}
	if err := f.Bucket(m, "large", nil, func(string, []byte, []byte) error { return nil }); !errors.As(err, &damage) {
		t.Error(err)
	}
}

// FuzzWalk must end without a panic, whatever it is given.
func FuzzWalk(f *testing.F) {
	b, _ := database(f, rand.New(rand.NewPCG(3, 3)), 1024, 30)
	f.Add(b, uint32(0), uint32(0))
	f.Add(b, uint32(2048), uint32(1))
	f.Fuzz(func(_ *testing.T, b []byte, at, change uint32) {
		if len(b) > 4 {
			at %= uint32(len(b) - 4)
			binary.LittleEndian.PutUint32(b[at:], binary.LittleEndian.Uint32(b[at:])^change)
		}
		file := pages.New(bytes.NewReader(b), int64(len(b)))
		file.IsBolt()
		m, _, err := file.Meta()
		if err != nil {
			// The sum of a root is no obstacle to who damages it on purpose.
			m = pages.Meta{Root: uint64(change % 16), High: uint64(at)}
		}
		visit := func(string, []byte, []byte) error { return nil }
		_ = file.Walk(m, visit)
		_ = file.Bucket(m, "large", []byte("4"), visit)
	})
}
