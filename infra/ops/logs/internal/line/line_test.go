package line_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/ops/logs/internal/line"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func compress(t testing.TB, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(text)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const delivery = `{"messageType":"DATA_MESSAGE","owner":"123456789012","logGroup":"/aws/lambda/f","logStream":"2026/11/22/[$LATEST]ab",
	"subscriptionFilters":["x"],"logEvents":[{"id":"1","timestamp":1432826855000,"message":"a"},
		{"id":"2","timestamp":1432826855001,"message":"b","extractedFields":{"x":"y"}}]}`

func TestDecode(t *testing.T) {
	r, err := line.Decode(compress(t, []byte(delivery)))
	if err != nil {
		t.Fatal(err)
	}
	want := line.Record{MessageType: line.Data, Owner: "123456789012", LogGroup: "/aws/lambda/f", LogStream: "2026/11/22/[$LATEST]ab",
		LogEvents: line.Events{{ID: "1", Timestamp: 1432826855000, Message: "a"}, {ID: "2", Timestamp: 1432826855001, Message: "b"}}}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("%+v, want %+v", r, want)
	}
	number, err := line.Decode(compress(t, []byte(strings.Replace(delivery, `"id":"2"`, `"id":2`, 1))))
	if err != nil || number.LogEvents[1].ID != "2" {
		t.Errorf("an id that is a number: %+v, %v", number, err)
	}
	control := `{"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs","logGroup":"","logStream":"","subscriptionFilters":[],
		"logEvents":[{"id":"","timestamp":1,"message":"CWL CONTROL MESSAGE"}]}`
	if r, err := line.Decode(compress(t, []byte(control))); err != nil || r.MessageType != line.Control {
		t.Errorf("control message: %+v, %v", r, err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	whole := compress(t, []byte(delivery))
	many := `{"messageType":"DATA_MESSAGE","logGroup":"g","logStream":"s","logEvents":[` + strings.Repeat(`{},`, line.MaxEvents) + `{}]}`
	for name, data := range map[string][]byte{
		"nothing":         nil,
		"plain text":      []byte(delivery),
		"half an archive": whole[:len(whole)/2],
		"no JSON":         compress(t, []byte("hello")),
		"another type":    compress(t, []byte(`{"messageType":"OTHER"}`)),
		"without a group": compress(t, []byte(`{"messageType":"DATA_MESSAGE","logStream":"s"}`)),
		"without ids":     compress(t, []byte(strings.Replace(delivery, `"id":"2"`, `"id":""`, 1))),
		"an id of null":   compress(t, []byte(strings.Replace(delivery, `"id":"2"`, `"id":null`, 1))),
		"an id of a list": compress(t, []byte(strings.Replace(delivery, `"id":"2"`, `"id":[2]`, 1))),
		"long id":         compress(t, []byte(strings.Replace(delivery, `"id":"2"`, `"id":"`+strings.Repeat("2", 129)+`"`, 1))),
		"too many events": compress(t, []byte(many)),
		"deep nesting":    compress(t, []byte(`{"x":`+strings.Repeat("[", 1<<20))),
	} {
		if _, err := line.Decode(data); !errors.Is(err, line.ErrNoLogs) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestGzipBomb: a small record that grows a thousandfold is refused before it
// fills the memory.
func TestGzipBomb(t *testing.T) {
	bomb := bytes.Repeat(compress(t, make([]byte, 1<<20)), 512) // archives may follow each other
	if len(bomb) > 1<<20 {
		t.Fatalf("the bomb has %d bytes, more than a record", len(bomb))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := line.Decode(bomb)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, line.ErrNoLogs) || !strings.Contains(err.Error(), "grows beyond") {
		t.Errorf("error %v", err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 8*line.MaxRecord {
		t.Errorf("%d bytes were allocated", used)
	}
}

func TestParse(t *testing.T) {
	long := strings.Repeat("é", 3000)
	tests := []struct {
		name, message string
		limits        line.Limits
		want          string // "" for no JSON
		truncated     bool
	}{
		{"flat", `{"level":"INFO","n":1,"ok":true,"none":null}`, line.Limits{}, `{"level":"INFO","n":1,"ok":true}`, false},
		{"spaces around", " {\"a\":1}\n", line.Limits{}, `{"a":1}`, false},
		{"nested", `{"a":{"b":{"c":1}}}`, line.Limits{}, `{"a":{"b":{"c":1}}}`, false},
		{"too deep", `{"a":{"b":{"c":1}}}`, line.Limits{Depth: 2}, `{"a":{"b":"{\"c\":1}"}}`, true},
		{"too many", `{"a":1,"b":2,"c":3}`, line.Limits{Fields: 2}, `{"a":1,"b":2}`, true},
		{"too many inside", `{"a":{"x":1,"y":2},"b":2}`, line.Limits{Fields: 2}, `{"a":{"x":1,"y":2}}`, true},
		{"too long, cut between characters", `{"a":"` + long + `"}`, line.Limits{Value: 5}, `{"a":"éé"}`, true},
		{"dots and empty names", `{"a.b":1,"":2," ":3}`, line.Limits{}, `{"_":2,"a_b":1}`, true},
		{"long name", `{"` + strings.Repeat("k", 129) + `":1}`, line.Limits{}, `{}`, true},
		{"list", `{"a":[1,"x",null]}`, line.Limits{}, `{"a":[1,"x"]}`, false},
		{"list of objects", `{"a":[{"b":"<1>"}]}`, line.Limits{}, `{"a":"[{\"b\":\"<1>\"}]"}`, false},
		{
			"numbers no index has",
			`{"a":1e999,"b":12345678901234567890123456789012345678901234567890}`,
			line.Limits{},
			`{"a":"1e999","b":"12345678901234567890123456789012345678901234567890"}`,
			false,
		},
		{"text", `hello {"a":1}`, line.Limits{}, ``, false},
		{"two objects", `{"a":1}{"b":1}`, line.Limits{}, ``, false},
		{"half", `{"a":1`, line.Limits{}, ``, false},
		{"a list", `[1]`, line.Limits{}, ``, false},
		{"endless nesting", strings.Repeat(`{"a":`, 20_000) + "1" + strings.Repeat("}", 20_000), line.Limits{}, ``, false},
		{"a huge line", `{"a":"` + strings.Repeat("x", 1<<19) + `"}`, line.Limits{}, ``, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fields, truncated, ok := line.Parse(test.message, test.limits)
			if ok != (test.want != "") || truncated != test.truncated {
				t.Fatalf("%v, truncated %t, parsed %t", fields, truncated, ok)
			}
			var b bytes.Buffer
			e := json.NewEncoder(&b)
			e.SetEscapeHTML(false)
			if err := e.Encode(fields); err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimSpace(b.String()); ok && got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

func TestParsePlatform(t *testing.T) {
	const id = "8f507cfc-8f33-4a4c-a0b3-0d4a5d7a5a3b"
	tests := []struct {
		message string
		want    *line.Platform
	}{
		{"START RequestId: " + id + " Version: $LATEST\n", &line.Platform{Kind: line.Start, RequestID: id, Version: "$LATEST"}},
		{"END RequestId: " + id + "\n", &line.Platform{Kind: line.End, RequestID: id}},
		{"REPORT RequestId: " + id + "\tDuration: 3.50 ms\tBilled Duration: 4 ms\tMemory Size: 128 MB\tMax Memory Used: 40 MB\t\n",
			&line.Platform{Kind: line.Report, RequestID: id, Duration: 3.5, Billed: 4, Memory: 128, MaxMemory: 40}},
		{
			"REPORT RequestId: " + id + "\tDuration: 100.00 ms\tBilled Duration: 211 ms\tMemory Size: 128 MB\tMax Memory Used: 40 MB\tInit Duration: 110.23 ms\t\n" +
				"XRAY TraceId: 1-5e34a614-10bd\tSegmentId: 07f\tSampled: true\t",
			&line.Platform{Kind: line.Report, RequestID: id, TraceID: "1-5e34a614-10bd", Duration: 100, Billed: 211, Init: 110.23, Memory: 128, MaxMemory: 40},
		},
		{"REPORT RequestId: " + id + "\tDuration: 3000.00 ms\tBilled Duration: 3000 ms\tMemory Size: 128 MB\tMax Memory Used: 40 MB\tStatus: timeout",
			&line.Platform{Kind: line.Report, RequestID: id, Duration: 3000, Billed: 3000, Memory: 128, MaxMemory: 40, Status: "timeout"}},
		{
			"INIT_START Runtime Version: provided:al2023.v30\tRuntime Version ARN: arn:aws:lambda:x",
			&line.Platform{Kind: line.InitStart, Version: "provided:al2023.v30"},
		},
		{"INIT_REPORT Init Duration: 9999.50 ms Phase: init Status: timeout", &line.Platform{Kind: line.InitReport, Init: 9999.5, Status: "timeout"}},
		{
			"INIT_REPORT\tPhase: init\tStatus: error\tError Type: Runtime.ExitError",
			&line.Platform{Kind: line.InitReport, Status: "error", ErrorType: "Runtime.ExitError"},
		},
		{
			`{"time":"2026-11-22T00:00:00Z","type":"platform.start","record":{"requestId":"` + id + `","version":"7"}}`,
			&line.Platform{Kind: line.Start, RequestID: id, Version: "7"},
		},
		{
			`{"time":"2026-11-22T00:00:00Z","type":"platform.report","record":{"requestId":"` + id + `","metrics":{"durationMs":101.5,
				"billedDurationMs":300,"memorySizeMB":512,"maxMemoryUsedMB":33,"initDurationMs":116.67},
				"status":"success","tracing":{"value":"Root=1-62e9;Parent=9;Sampled=1"}}}`,
			&line.Platform{
				Kind:      line.Report,
				RequestID: id,
				TraceID:   "1-62e9",
				Status:    "success",
				Duration:  101.5,
				Billed:    300,
				Init:      116.67,
				Memory:    512,
				MaxMemory: 33,
			},
		},
		{`{"type":"platform.telemetrySubscription","record":{}}`, nil},
		{"REPORT RequestId: " + id + "\tDuration: NaN ms", nil},
		{"REPORT of the day", nil},
		{"STARTING", nil},
		{"", nil},
	}
	for _, test := range tests {
		got, ok := line.ParsePlatform(test.message)
		if ok != (test.want != nil) || ok && got != *test.want {
			t.Errorf("%q: %+v, %t; want %+v", test.message, got, ok, test.want)
		}
	}
}

func TestFunction(t *testing.T) {
	for _, c := range [][3]string{
		{"/aws/lambda/timeline", "2026/11/22/[$LATEST]ab", "timeline"},
		{"shared", "2026/11/22/timeline[7]ab", "timeline"},
		{"shared", "2026/11/22/x", ""},
		{"/ecs/proxy", "proxy/proxy/abc", ""},
	} {
		if got := line.Function(c[0], c[1]); got != c[2] {
			t.Errorf("%s %s: %q, want %q", c[0], c[1], got, c[2])
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(delivery), true)
	f.Add([]byte(`{"messageType":"DATA_MESSAGE","logEvents":[{}]}`), true)
	f.Add([]byte{0x1f, 0x8b, 8, 0}, false)
	f.Fuzz(func(t *testing.T, data []byte, packed bool) {
		if packed {
			data = compress(t, data)
		}
		r, err := line.Decode(data)
		if err != nil && !errors.Is(err, line.ErrNoLogs) {
			t.Errorf("error %v", err)
		}
		for _, e := range r.LogEvents {
			if err == nil && r.MessageType == line.Data && e.ID == "" {
				t.Error("an event without an id")
			}
		}
	})
}

// FuzzParse: whatever the line, the fields keep their limits and are JSON.
func FuzzParse(f *testing.F) {
	f.Add(`{"a":{"b":[1,{"c":"d"}]},"e.f":1e400}`, uint8(2), uint8(2), uint8(8))
	f.Fuzz(func(t *testing.T, message string, fields, depth, value uint8) {
		l := line.Limits{Fields: int(fields), Depth: int(depth), Value: int(value)}
		got, _, ok := line.Parse(message, l)
		if _, err := json.Marshal(got); err != nil {
			t.Fatal(err)
		}
		if ok {
			leaves := 0
			check(t, got, 1, l.WithDefaults(), &leaves)
		}
	})
}

func check(t *testing.T, v any, depth int, l line.Limits, leaves *int) {
	if object, ok := v.(map[string]any); ok {
		if depth > l.Depth {
			t.Fatalf("an object at depth %d", depth)
		}
		for name, inner := range object {
			if name == "" || len(name) > 128 || strings.Contains(name, ".") || !utf8.ValidString(name) {
				t.Fatalf("field %q", name)
			}
			check(t, inner, depth+1, l, leaves)
		}
		return
	}
	if s, ok := v.(string); ok && len(s) > l.Value {
		t.Fatalf("a value of %d bytes", len(s))
	}
	if *leaves++; *leaves > l.Fields {
		t.Fatalf("%d fields", *leaves)
	}
}

// FuzzPlatform: figures are finite, and a report has its request.
func FuzzPlatform(f *testing.F) {
	f.Add("REPORT RequestId: a\tDuration: 1 ms\tMemory Size: 1 MB")
	f.Add(`{"type":"platform.report","record":{"requestId":"a","metrics":{"memorySizeMB":1e308}}}`)
	f.Fuzz(func(t *testing.T, message string) {
		p, ok := line.ParsePlatform(message)
		if !ok {
			return
		}
		for _, v := range []float64{p.Duration, p.Billed, p.Init, p.Restore, p.Memory, p.MaxMemory} {
			if !(v >= 0 && v <= 1e9) {
				t.Errorf("%+v", p)
			}
		}
		if p.Kind == line.Report && p.RequestID == "" || len(p.RequestID) > 128 || len(fmt.Sprint(p)) > 2000 {
			t.Errorf("%+v", p)
		}
	})
}
