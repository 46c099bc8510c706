package events_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/events"
)

func sample() events.Event {
	return events.Event{
		ID:            "0158864a-9a00-7000-8000-000000000001",
		Source:        "/services/users",
		Type:          "user.joined",
		Version:       1,
		Subject:       "user/59b99db4cfa9a34dcd7885b6",
		Time:          time.Date(2016, 11, 21, 12, 0, 0, 123456789, time.UTC),
		PartitionKey:  "59b99db4cfa9a34dcd7885b6",
		Sequence:      "01479729600000000005",
		TraceParent:   "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		CorrelationID: "corr-1",
		CausationID:   "cause-1",
		Data:          json.RawMessage(`{"userId":"59b99db4cfa9a34dcd7885b6","name":"Ada","joinedAt":"2016-11-21T12:00:00Z"}`),
	}
}

func change(edit func(*events.Event)) events.Event {
	e := sample()
	edit(&e)
	return e
}

func TestEncodeIsDeterministic(t *testing.T) {
	const want = `{"specversion":"1.0","id":"0158864a-9a00-7000-8000-000000000001","source":"/services/users",` +
		`"type":"user.joined","dataversion":1,"subject":"user/59b99db4cfa9a34dcd7885b6",` +
		`"time":"2016-11-21T12:00:00.123456789Z","partitionkey":"59b99db4cfa9a34dcd7885b6",` +
		`"sequence":"01479729600000000005","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",` +
		`"correlationid":"corr-1","causationid":"cause-1","datacontenttype":"application/json",` +
		`"data":{"userId":"59b99db4cfa9a34dcd7885b6","name":"Ada","joinedAt":"2016-11-21T12:00:00Z"}}`
	got, err := events.Encode(sample())
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestRoundTrip(t *testing.T) {
	for name, e := range map[string]events.Event{
		"whole": sample(),
		"least": {
			ID: "1", Source: "s", Type: "t", Version: 1, Time: time.Unix(0, 0).UTC(), PartitionKey: "k",
			Sequence: strings.Repeat("0", 20), Data: json.RawMessage("null"),
		},
		"quotes":          change(func(e *events.Event) { e.Subject, e.ID = `a"b\c`, `\\""` }),
		"unicode":         change(func(e *events.Event) { e.PartitionKey, e.Subject = strings.Repeat("ё", 256), "榕树 🌳" }),
		"source uri":      change(func(e *events.Event) { e.Source = "https://example.org/a?b=c#d" }),
		"year 0":          change(func(e *events.Event) { e.Time = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC) }),
		"string data":     change(func(e *events.Event) { e.Data = json.RawMessage(`"é🌳"`) }),
		"largest version": change(func(e *events.Event) { e.Version = 1<<31 - 1 }),
		"deep data": change(func(e *events.Event) {
			e.Data = json.RawMessage(strings.Repeat("[", events.MaxDepth-1) + strings.Repeat("]", events.MaxDepth-1))
		}),
	} {
		t.Run(name, func(t *testing.T) {
			b, err := events.Encode(e)
			if err != nil {
				t.Fatal(err)
			}
			if !json.Valid(b) {
				t.Fatalf("not JSON: %s", b)
			}
			back, err := events.Decode(b)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(e, back); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEncodeWritesTimeInUTC(t *testing.T) {
	e := change(func(e *events.Event) { e.Time = e.Time.In(time.FixedZone("", 3600)) })
	b, err := events.Encode(e)
	if err != nil || !bytes.Contains(b, []byte(`"time":"2016-11-21T12:00:00.123456789Z"`)) {
		t.Errorf("%s, %v", b, err)
	}
}

func TestValidateNamesTheAttribute(t *testing.T) {
	for _, tc := range []struct {
		attribute string
		edit      func(*events.Event)
	}{
		{"id", func(e *events.Event) { e.ID = "" }},
		{"id", func(e *events.Event) { e.ID = "a\nb" }},
		{"id", func(e *events.Event) { e.ID = "a\u0085b" }},
		{"id", func(e *events.Event) { e.ID = "a\ufffe" }},
		{"source", func(e *events.Event) { e.Source = "" }},
		{"source", func(e *events.Event) { e.Source = "%zz" }},
		{"type", func(e *events.Event) { e.Type = "\xff" }},
		{"dataversion", func(e *events.Event) { e.Version = 0 }},
		{"dataversion", func(e *events.Event) { e.Version = 1 << 31 }},
		{"subject", func(e *events.Event) { e.Subject = "\x00" }},
		{"time", func(e *events.Event) { e.Time = time.Time{} }},
		{"time", func(e *events.Event) { e.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }},
		{"partitionkey", func(e *events.Event) { e.PartitionKey = "" }},
		{"partitionkey", func(e *events.Event) { e.PartitionKey = strings.Repeat("ё", 257) }},
		{"callchain", func(e *events.Event) { e.Chain = -1 }},
		{"sequence", func(e *events.Event) { e.Sequence = "12" }},
		{"sequence", func(e *events.Event) { e.Sequence = "0147972960000000000x" }},
		{"data", func(e *events.Event) { e.Data = nil }},
		{"data", func(e *events.Event) { e.Data = json.RawMessage(`{"a":}`) }},
		{"data", func(e *events.Event) { e.Data = json.RawMessage("\"\xff\"") }},
		{"data", func(e *events.Event) { e.Data = json.RawMessage(strings.Repeat("[", 64) + strings.Repeat("]", 64)) }},
	} {
		e := change(tc.edit)
		err := e.Validate()
		if !errors.Is(err, events.ErrMalformed) || !strings.Contains(err.Error(), ": "+tc.attribute+": ") {
			t.Errorf("%s: got %v", tc.attribute, err)
		}
		dst := []byte("kept")
		if b, err := events.AppendEncode(dst, e); err == nil || string(b) != "kept" {
			t.Errorf("%s: encoded to %s, %v", tc.attribute, b, err)
		}
	}
}

func TestDecodeRefusesAndNamesTheAttribute(t *testing.T) {
	b, err := events.Encode(sample())
	if err != nil {
		t.Fatal(err)
	}
	whole := string(b)
	replace := func(old, new string) string {
		if !strings.Contains(whole, old) {
			t.Fatalf("%q is not in the sample", old)
		}
		return strings.Replace(whole, old, new, 1)
	}
	for _, tc := range []struct{ attribute, text string }{
		{"event", ""}, {"event", "[]"}, {"event", "null"}, {"event", whole + "x"}, {"event", whole[:len(whole)-1]},
		{"event", "\xff"}, {"event", "{\"a\x01\":1}"}, {"event", `{"id" "x"}`}, {"event", `{,}`},
		{"specversion", "{}"},
		{"specversion", replace(`"specversion":"1.0",`, "")},
		{"specversion", replace(`"1.0"`, `"0.3"`)},
		{"specversion", replace(`"1.0"`, `1.0`)},
		{"id", replace(`"id":"0158864a-9a00-7000-8000-000000000001",`, "")},
		{"id", replace(`"id":"0158864a-9a00-7000-8000-000000000001"`, `"id":null`)},
		{"id", replace(`"id":"0158864a-9a00-7000-8000-000000000001"`, `"id":7`)},
		{"id", replace(`"id":"0158864a-9a00-7000-8000-000000000001"`, `"id":""`)},
		{"id", replace(`"id":`, `"id":"x","id":`)},
		{"type", replace(`"type":"user.joined",`, "")},
		{"source", replace(`"/services/users"`, `"%"`)},
		{"dataversion", replace(`"dataversion":1,`, "")},
		{"dataversion", replace(`"dataversion":1`, `"dataversion":1.5`)},
		{"dataversion", replace(`"dataversion":1`, `"dataversion":0`)},
		{"dataversion", replace(`"dataversion":1`, `"dataversion":99999999999`)},
		{"dataversion", replace(`"dataversion":1`, `"dataversion":"one"`)},
		{"dataversion", replace(`"dataversion":1`, `"dataversion":null`)},
		{"dataversion", replace(`"dataversion":1`, `"dataversion":"\u12g4"`)},
		{"dataversion", replace(`"dataversion":1`, `"dataversion":one`)},
		{"time", replace(`"time":"2016-11-21T12:00:00.123456789Z"`, `"time":2016`)},
		{"time", replace(`"2016-11-21T12:00:00.123456789Z"`, `"yesterday"`)},
		{"time", replace(`"time":"2016-11-21T12:00:00.123456789Z",`, ``)},
		{"partitionkey", replace(`"partitionkey":"59b99db4cfa9a34dcd7885b6",`, "")},
		{"sequence", replace(`"01479729600000000005"`, `"5"`)},
		{"datacontenttype", replace(`"application/json"`, `"text/xml"`)},
		{"datacontenttype", replace(`"application/json"`, `7`)},
		{"data_base64", replace(`"data":`, `"data_base64":"AAAA","data":`)},
		{"data", replace(`"data":`, `"payload":`)},
		{"data", replace(`"data":{`, `"data":{{`)},
		{"data", replace(`"data":`, `"data":1,"data":`)},
		{"data", replace(`"data":`, `"data":`+strings.Repeat("[", 100_000))},
		{"junk", replace(`"id":`, `"junk":tru,"id":`)},
	} {
		_, err := events.Decode([]byte(tc.text))
		if !errors.Is(err, events.ErrMalformed) || !strings.Contains(err.Error(), ": "+tc.attribute+": ") {
			t.Errorf("%s in %.60s: got %v", tc.attribute, tc.text, err)
		}
	}
	if _, err := events.Decode(make([]byte, events.MaxSize+1)); !errors.Is(err, events.ErrMalformed) {
		t.Errorf("too large: got %v", err)
	}
}

func TestDecodeTolerates(t *testing.T) {
	b, err := events.Encode(sample())
	if err != nil {
		t.Fatal(err)
	}
	whole := string(b)
	for name, text := range map[string]string{
		"unknown extensions":    strings.Replace(whole, `"id":`, `"region":"eu","n":-1.5e+3,"ok":true,"none":null,"more":{"a":[1,{}]},"id":`, 1),
		"blanks":                " \n" + strings.NewReplacer(`","so`, "\" ,\t\"so", `"type":`, "\"type\" : ", `"data":{`, "\"data\" :\n{").Replace(whole) + "\r\n",
		"escapes":               strings.Replace(strings.Replace(whole, `"type"`, `"t\u0079pe"`, 1), `"corr-1"`, `"corr\u002d1"`, 1),
		"version as text":       strings.Replace(whole, `"dataversion":1`, `"dataversion":"1"`, 1),
		"no content type":       strings.Replace(whole, `"datacontenttype":"application/json",`, "", 1),
		"content type with set": strings.Replace(whole, `"application/json"`, `"Application/JSON; charset=utf-8"`, 1),
		"hints of others":       strings.Replace(whole, `"id":`, `"debuglog":{"a":1},"callchain":"a>b","id":`, 1),
		"null extension":        strings.Replace(whole, `"id":`, `"traceparent":null,"id":`, 1),
		"time with an offset":   strings.Replace(whole, `T12:00:00.123456789Z`, `T14:00:00.123456789+02:00`, 1),
	} {
		got, err := events.Decode([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff(sample(), got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestDecodeSharesNothingWithItsInput(t *testing.T) {
	b, err := events.Encode(sample())
	if err != nil {
		t.Fatal(err)
	}
	got, err := events.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	clear(b)
	if diff := cmp.Diff(sample(), got); diff != "" {
		t.Error(diff)
	}
}

// The scanner is ours, the judge is encoding/json.
func TestScannerAgreesWithEncodingJSON(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 2))
	alphabet := []string{
		"{", "}", "[", "]", ",", ":", `"`, `"a"`, `\`, `\n`, `\u00e9`, "0", "1", "-", ".", "e", "+",
		"true", "false", "null", " ", "\n", "é", "\x01", "\xff",
	}
	valid := 0
	for range 200_000 {
		var text string
		for range 1 + rnd.IntN(7) {
			text += alphabet[rnd.IntN(len(alphabet))]
		}
		want := json.Valid([]byte(text)) && utf8.ValidString(text)
		got := change(func(e *events.Event) { e.Data = json.RawMessage(text) }).Validate() == nil
		if got != want {
			t.Fatalf("seed %d: %q: got %v, want %v", seed, text, got, want)
		}
		if want {
			valid++
		}
	}
	if valid < 100 {
		t.Errorf("seed %d: only %d valid texts tried", seed, valid)
	}
}

func FuzzDecode(f *testing.F) {
	shop := events.MustRegistry(shopTypes()...)
	for _, entry := range shopTypes() {
		e, err := events.New(context.Background(), "/fuzz", entry.Example)
		if err != nil {
			f.Fatal(err)
		}
		b, err := events.Encode(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"specversion":"1.0","data":[[[]]],"\u0069d":"x"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := events.Decode(b)
		if err != nil {
			if !errors.Is(err, events.ErrMalformed) {
				t.Fatalf("%q: %v", b, err)
			}
			return
		}
		if !json.Valid(b) {
			t.Fatalf("accepted %q, which is not JSON", b)
		}
		again, err := events.Encode(e)
		if err != nil {
			t.Fatalf("accepted %q, but it cannot be encoded: %v", b, err)
		}
		if back, err := events.Decode(again); err != nil || !cmp.Equal(e, back) {
			t.Fatalf("%q became %q: %v", b, again, err)
		}
		_, _ = shop.Decode(e) // must not panic
	})
}

// FuzzEncode: whatever Encode takes is JSON, by the standard library's word, and
// is read back as it was.
func FuzzEncode(f *testing.F) {
	f.Add("id", "/source", `sub"ject\`, "clé", int64(1479729600), int64(120), []byte(`{"a":[1,"b\n"]}`))
	f.Add("\x7f", "%", "\u0085", "\xff", int64(-62167219200), int64(999999999), []byte("\"\x1f\""))
	f.Add("\x00", "a b", "01234567\"", "012345678\\", int64(253402300800), int64(-1), []byte("nul"))
	f.Fuzz(func(t *testing.T, id, source, subject, key string, seconds, nanos int64, data []byte) {
		e := change(func(e *events.Event) {
			e.ID, e.Source, e.Subject, e.PartitionKey = id, source, subject, key
			e.Time, e.Data = time.Unix(seconds, nanos).UTC(), data
		})
		b, err := events.Encode(e)
		if (err == nil) != (e.Validate() == nil) {
			t.Fatalf("%+v: encoded with %v, validated with %v", e, err, e.Validate())
		}
		if err != nil {
			return
		}
		if !json.Valid(b) || !utf8.Valid(b) {
			t.Fatalf("%+v became %q", e, b)
		}
		e.Data = bytes.Trim(data, " \t\r\n")
		if back, err := events.Decode(b); err != nil || !cmp.Equal(e, back) {
			t.Fatalf("%q was read as %+v: %v", b, back, err)
		}
	})
}

func TestEncodeAllocatesOnlyItsResult(t *testing.T) {
	e := sample()
	buf := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { _, _ = events.AppendEncode(buf, e) }); n > 0 {
		t.Errorf("AppendEncode: %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = events.Encode(e) }); n > 1 {
		t.Errorf("Encode: %v allocations", n)
	}
}

// sized is the sample with a payload of so many bytes.
func sized(bytes int) events.Event {
	text := placed{Order: strings.Repeat("x", bytes), Customer: "ada"}
	return change(func(e *events.Event) {
		e.Data, _ = json.Marshal(text)
		e.Data = append(e.Data[:bytes-2:bytes-2], `"}`...)
	})
}

func benchmarkSizes(b *testing.B, do func(b *testing.B, e events.Event)) {
	for _, size := range []int{200, 1000} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			b.ReportAllocs()
			do(b, sized(size))
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	benchmarkSizes(b, func(b *testing.B, e events.Event) {
		for b.Loop() {
			if _, err := events.Encode(e); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkEncoder(b *testing.B) {
	benchmarkSizes(b, func(b *testing.B, e events.Event) {
		var c events.Encoder
		for b.Loop() {
			if _, err := c.Encode(e); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkAppendEncode(b *testing.B) {
	benchmarkSizes(b, func(b *testing.B, e events.Event) {
		buf := make([]byte, 0, 4096)
		for b.Loop() {
			if _, err := events.AppendEncode(buf, e); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	benchmarkSizes(b, func(b *testing.B, e events.Event) {
		text, err := events.Encode(e)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := events.Decode(text); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := events.New(context.Background(), "/bench", placed{Order: "o", Customer: "ada"}); err != nil {
			b.Fatal(err)
		}
	}
}

// TestDecodeIsBounded: not even white space is let in beyond the limits.
func TestDecodeIsBounded(t *testing.T) {
	e, err := events.New(t.Context(), "/test", placed{Order: "o", Customer: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := events.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	padded := append(b, bytes.Repeat([]byte(" "), events.MaxSize+1-len(b))...)
	if _, err := events.Decode(padded[:events.MaxSize]); err != nil {
		t.Errorf("as large as can be: %v", err)
	}
	if _, err := events.Decode(padded); !errors.Is(err, events.ErrMalformed) {
		t.Errorf("a byte too large: %v", err)
	}
}
