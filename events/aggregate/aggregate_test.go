package aggregate_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/events/aggregate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Written by hand from the published format, byte by byte. The digest is that
// of the message between the magic bytes and it, by md5sum.
const golden = "f3899ac2" + // magic
	"0a026b31" + // partition_key_table "k1"
	"0a026b32" + // partition_key_table "k2"
	"1203313233" + // explicit_hash_key_table "123"
	"1a0b" + "0800" + "1000" + "1a0568656c6c6f" + // key 0, hash key 0, "hello"
	"1a05" + "0801" + "1a0177" + // key 1, "w"
	"1a04" + "0800" + "1a00" + // key 0, ""
	"1ecb36946a2a63cb91068f7f52254aaa"

func goldenRecords() []aggregate.Record {
	return []aggregate.Record{
		{PartitionKey: "k1", ExplicitHashKey: "123", Data: []byte("hello")},
		{PartitionKey: "k2", Data: []byte("w")},
		{PartitionKey: "k1", Data: []byte{}},
	}
}

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func build(records []aggregate.Record) []byte {
	var b aggregate.Builder
	for _, r := range records {
		b.Add(r)
	}
	return b.Append(nil)
}

func TestBuildWritesThePublishedFormat(t *testing.T) {
	if got := hex.EncodeToString(build(goldenRecords())); got != golden {
		t.Errorf("got  %s\nwant %s", got, golden)
	}
}

func TestDecodeReadsThePublishedFormat(t *testing.T) {
	data := unhex(t, golden)
	if !aggregate.IsAggregate(data) {
		t.Error("not seen as an aggregate")
	}
	got, err := aggregate.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(goldenRecords(), got); diff != "" {
		t.Error(diff)
	}
}

// seal makes an aggregate of any message, with the right digest.
func seal(message string) []byte {
	digest := md5.Sum([]byte(message))
	return append([]byte("\xf3\x89\x9a\xc2"+message), digest[:]...)
}

func TestDecodeAcceptsAnyOrderOfFields(t *testing.T) {
	message := "\x1a\x05\x08\x00\x1a\x01w" + "\x0a\x01k" + // the table after its user
		"\x22\x01x" + "\x28\x07" + // unknown fields
		"\x1a\x0c\x1a\x01x\x22\x02\x0a\x00\x1a\x01y\x08\x00" // tags skipped, the last data counts
	got, err := aggregate.Decode(seal(message))
	want := []aggregate.Record{{PartitionKey: "k", Data: []byte("w")}, {PartitionKey: "k", Data: []byte("y")}}
	if err != nil || !cmp.Equal(want, got) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestGarbageIsOnePlainRecord(t *testing.T) {
	whole := unhex(t, golden)
	flipped := bytes.Clone(whole)
	flipped[10] ^= 1
	for name, data := range map[string][]byte{
		"empty":               {},
		"text":                []byte(`{"specversion":"1.0"}`),
		"magic only":          whole[:4],
		"too short":           whole[:19],
		"cut":                 whole[:len(whole)-1],
		"longer":              append(bytes.Clone(whole), 0),
		"wrong digest":        flipped,
		"not protobuf":        seal("\xff\xff\xff"),
		"cut field":           seal("\x0a\x05k"),
		"no key":              seal("\x0a\x01k" + "\x1a\x03\x1a\x01w"),
		"no data":             seal("\x0a\x01k" + "\x1a\x02\x08\x00"),
		"key not in table":    seal("\x0a\x01k" + "\x1a\x05\x08\x01\x1a\x01w"),
		"hash not in table":   seal("\x0a\x01k" + "\x1a\x07\x08\x00\x10\x00\x1a\x01w"),
		"enormous index":      seal("\x0a\x01k" + "\x1a\x0e\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x1a\x01w"),
		"broken second field": seal("\x0a\x01k" + "\x1a\x05\x08\x00\x1a\x01w" + "\x1a\x02\x08"),
	} {
		got, err := aggregate.Decode(data)
		if err != nil || len(got) != 1 || got[0].PartitionKey != "" || !bytes.Equal(got[0].Data, data) {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
}

func TestAnAggregateOfNothingHasNoRecords(t *testing.T) {
	got, err := aggregate.Decode(build(nil))
	if err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestDecodeIsBounded(t *testing.T) {
	many := seal(strings.Repeat("\x0a\x00", aggregate.MaxRecords+1))
	if _, err := aggregate.Decode(many); !errors.Is(err, aggregate.ErrTooMany) {
		t.Errorf("got %v", err)
	}
}

func TestEachStopsAtTheFirstError(t *testing.T) {
	enough, calls := errors.New("enough"), 0
	err := aggregate.Each(unhex(t, golden), func(sub int, _ aggregate.Record) error {
		if sub != calls {
			t.Errorf("sub %d in call %d", sub, calls)
		}
		if calls++; calls == 2 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || calls != 2 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

func TestSizeIsKnownBeforeWriting(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	var b aggregate.Builder
	for round := range 3 {
		b.Reset()
		var want []aggregate.Record
		for range 400 {
			r := aggregate.Record{
				PartitionKey: fmt.Sprint("key", rnd.IntN(300)),
				Data:         bytes.Repeat([]byte{'x'}, rnd.IntN(300)),
			}
			if rnd.IntN(3) == 0 {
				r.ExplicitHashKey = fmt.Sprint(rnd.IntN(200))
			}
			b.Add(r)
			want = append(want, r)
			if b.Len() != len(want) {
				t.Fatalf("seed %d: %d of %d records", seed, b.Len(), len(want))
			}
		}
		data := b.Append([]byte("prefix"))
		if len(data) != b.Size()+6 {
			t.Fatalf("seed %d round %d: %d bytes announced, %d written", seed, round, b.Size(), len(data)-6)
		}
		got, err := aggregate.Decode(data[6:])
		if err != nil || !reflect.DeepEqual(want, got) { // cmp is slow on bytes
			t.Fatalf("seed %d: %v: %s", seed, err, cmp.Diff(want, got))
		}
	}
}

func TestSealingManyIsSealingEach(t *testing.T) {
	for _, n := range []int{0, 1, 2, 8, 9, 40} {
		var sealed, unsealed [][]byte
		for i := range n {
			var b aggregate.Builder
			for b.AddWithin(aggregate.Record{PartitionKey: fmt.Sprint("key", b.Len()%7), Data: bytes.Repeat([]byte{byte(i)}, 100+i)}, 5000+100*i) {
			}
			sealed = append(sealed, b.Append(nil))
			unsealed = append(unsealed, b.AppendUnsealed(nil))
		}
		aggregate.Seal(unsealed...)
		for i := range sealed {
			if !bytes.Equal(sealed[i], unsealed[i]) || !aggregate.IsAggregate(sealed[i]) {
				t.Fatalf("%d of %d is different", i, n)
			}
		}
	}
}

func TestAddWithinKeepsTheBound(t *testing.T) {
	r := aggregate.Record{PartitionKey: "k", ExplicitHashKey: "7", Data: []byte("data")}
	size := len(build([]aggregate.Record{r}))
	var b aggregate.Builder
	if b.AddWithin(r, size-1) || b.Len() != 0 || b.Size() != aggregate.Overhead {
		t.Error("a record was added that is too large")
	}
	if !b.AddWithin(r, size) || b.Len() != 1 || b.Size() != size {
		t.Error("a record was refused that fits")
	}
}

func TestAFilledBuilderAllocatesNothing(t *testing.T) {
	var b aggregate.Builder
	keys := []string{"a", "b", "c", "d"}
	data, out := make([]byte, 200), make([]byte, 0, 64<<10)
	fill := func() {
		b.Reset()
		for i := range 200 {
			b.AddWithin(aggregate.Record{PartitionKey: keys[i%4], Data: data}, 64<<10)
		}
		out = b.Append(out[:0])
	}
	fill()
	if n := testing.AllocsPerRun(10, fill); n > 0 {
		t.Errorf("%v allocations for 200 records", n)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("\x0a\x01k\x1a\x05\x08\x00\x1a\x01w"), true)
	f.Add(unhex(f, golden)[4:len(golden)/2-16], true)
	f.Add(unhex(f, golden), false)
	f.Fuzz(func(t *testing.T, data []byte, sealed bool) {
		if sealed {
			data = seal(string(data))
		}
		records, err := aggregate.Decode(data)
		if err != nil {
			if !errors.Is(err, aggregate.ErrTooMany) {
				t.Fatal(err)
			}
			return
		}
		if len(records) == 1 && records[0].PartitionKey == "" && bytes.Equal(records[0].Data, data) {
			return // plain
		}
		again, err := aggregate.Decode(build(records))
		if err != nil || !cmp.Equal(records, again) {
			t.Fatalf("%x: %v", data, cmp.Diff(records, again))
		}
	})
}

func BenchmarkBuild(b *testing.B) {
	data, key := bytes.Repeat([]byte("x"), 200), "59b99db4cfa9a34dcd7885b6"
	var builder aggregate.Builder
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		builder.Reset()
		for range 200 {
			builder.Add(aggregate.Record{PartitionKey: key, Data: data})
		}
		buf = builder.Append(buf[:0])
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/200, "ns/record")
}
