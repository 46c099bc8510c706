package sidecar_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/sidecar"
)

const (
	structured = "application/cloudevents+json"
	batched    = "application/cloudevents-batch+json"
	good       = `{"specversion":"1.0","id":"1","source":"/l","type":"t","partitionkey":"ada","data":{}}`
)

// without drops one member of a good event.
func without(member string) string {
	_, rest, _ := strings.Cut(good, `"`+member+`":`)
	value, _, _ := strings.Cut(rest, ",")
	return strings.Replace(strings.Replace(good, `"`+member+`":`+value+",", "", 1), "{,", "{", 1)
}

// with replaces the value of one member, or adds it.
func with(member, value string) string {
	if member == "data" {
		return strings.Replace(good, `"data":{}`, `"data":`+value, 1)
	}
	return strings.TrimSuffix(without(member), "}") + fmt.Sprintf(`,%q:%s}`, member, value)
}

// TestWhatIsRefused: each with its status and the attribute that is wrong, and
// nothing of it on the stream.
func TestWhatIsRefused(t *testing.T) {
	w := newWorld(t, func(_ *kinesis.Config, c *sidecar.Config) { c.MaxEvents, c.Check = 3, social.Registry().Check })
	head := func(drop string, more ...string) []string {
		all := binary("1")
		for i := 0; i < len(all); i += 2 {
			if all[i] != drop {
				more = append(more, all[i], all[i+1])
			}
		}
		return more
	}
	for name, c := range map[string]struct {
		body    string
		headers []string
		status  int
		detail  string
	}{
		"nothing":                {"", nil, 415, "is not a CloudEvent"},
		"plain JSON":             {`{}`, []string{"content-type", "application/json"}, 415, "ce-specversion"},
		"XML":                    {`<a/>`, []string{"content-type", "application/cloudevents+xml"}, 415, "is not a CloudEvent"},
		"a page":                 {good, []string{"content-type", structured, "origin", "http://evil.example"}, 403, "browser"},
		"compressed":             {good, []string{"content-type", structured, "content-encoding", "gzip"}, 415, "Content-Encoding"},
		"no id":                  {`{}`, head("ce-id"), 400, "id: required"},
		"no source":              {`{}`, head("ce-source"), 400, "source: required"},
		"no type":                {`{}`, head("ce-type"), 400, "type: required"},
		"no key":                 {`{}`, head("ce-partitionkey"), 400, "partitionkey: required, and absent: it decides which events keep their order"},
		"no specversion":         {`{}`, head("ce-specversion"), 400, "send the header ce-specversion: 1.0"},
		"old specversion":        {`{}`, head("ce-specversion", "ce-specversion", "0.3"), 400, "specversion"},
		"no data":                {``, binary("1"), 400, "data: required"},
		"not JSON":               {`{"a":`, binary("1"), 400, "data: "},
		"unfit":                  {`{"joinedAt":"yesterday"}`, binary("1"), 400, "data: does not fit user.joined version 1: parsing time"},
		"two values":             {`{}{}`, binary("1"), 400, "data: "},
		"fetch's default":        {`{}`, head("content-type", "content-type", "text/plain;charset=UTF-8"), 415, "only JSON is carried"},
		"key twice":              {`{}`, append(binary("1"), "ce-partitionkey", "bob"), 400, "partitionkey: given twice"},
		"long key":               {`{}`, head("ce-partitionkey", "ce-partitionkey", strings.Repeat("é", 257)), 400, "partitionkey: longer"},
		"latin-1":                {`{}`, append(binary("1"), "ce-subject", "zo\xeb"), 400, "subject: not UTF-8"},
		"encoded latin-1":        {`{}`, append(binary("1"), "ce-subject", "zo%EB"), 400, "subject: not UTF-8"},
		"encoded line":           {`{}`, append(binary("1"), "ce-subject", "a%0Ab"), 400, "subject: control character"},
		"nameless":               {`{}`, append(binary("1"), "ce-", "x"), 400, "letters and digits"},
		"strange name":           {`{}`, append(binary("1"), "ce-a_b", "x"), 400, "letters and digits"},
		"bad time":               {`{}`, append(binary("1"), "ce-time", "yesterday"), 400, `time: "yesterday"`},
		"bad version":            {`{}`, append(binary("1"), "ce-dataversion", "two"), 400, "dataversion: "},
		"version 0":              {`{}`, append(binary("1"), "ce-dataversion", "0"), 400, "dataversion: "},
		"bad sequence":           {`{}`, append(binary("1"), "ce-sequence", "7"), 400, "sequence: "},
		"deep":                   {strings.Repeat("[", 70) + strings.Repeat("]", 70), binary("1"), 400, "data: "},
		"very deep":              {with("data", strings.Repeat("[", 20000)+strings.Repeat("]", 20000)), []string{"content-type", structured}, 400, "depth"},
		"structured: no id":      {without("id"), []string{"content-type", structured}, 400, "id: required"},
		"structured: no version": {without("specversion"), []string{"content-type", structured}, 400, "specversion: required"},
		"structured: no key":     {without("partitionkey"), []string{"content-type", structured}, 400, "partitionkey: required"},
		"structured: null key":   {with("partitionkey", "null"), []string{"content-type", structured}, 400, "partitionkey: required"},
		"structured: key object": {with("partitionkey", "{}"), []string{"content-type", structured}, 400, "partitionkey: neither"},
		"structured: key number": {with("partitionkey", "12345678901"), []string{"content-type", structured}, 400,
			"partitionkey: 12345678901 is not a whole number of 32 bits; send it as a text"},
		"structured: number id":     {with("id", "1"), []string{"content-type", structured}, 400, "id: not a text"},
		"structured: id twice":      {with("data", `{},"id":"2"`), []string{"content-type", structured}, 400, "id: given twice"},
		"structured: bad time":      {with("time", `"noon"`), []string{"content-type", structured}, 400, `time: "noon"`},
		"structured: bad source":    {with("source", `"%zz"`), []string{"content-type", structured}, 400, "source: "},
		"structured: bad base64":    {with("data_base64", `"?"`), []string{"content-type", structured}, 400, "data_base64: not base64"},
		"structured: number base64": {with("data_base64", `5`), []string{"content-type", structured}, 400, "data_base64: not a text"},
		"structured: text":          {with("datacontenttype", `"text/plain"`), []string{"content-type", structured}, 415, "datacontenttype"},
		"structured: cut off":       {good[:40], []string{"content-type", structured}, 400, "unexpected end"},
		"structured: two":           {good + good, []string{"content-type", structured}, 400, "after top-level value"},
		"structured: array":         {"[" + good + "]", []string{"content-type", structured}, 400, "an event is a JSON object"},
		"structured: null":          {"null", []string{"content-type", structured}, 400, "an event is a JSON object"},
		"structured: not UTF-8":     {with("subject", "\"\xff\""), []string{"content-type", structured}, 400, "not UTF-8"},
		"structured: strange name":  {with("a b", `1`), []string{"content-type", structured}, 400, "letters and digits"},
		"structured: nameless":      {with("", `1`), []string{"content-type", structured}, 400, "letters and digits"},
		"structured: escaped twice": {strings.Replace(good, `"data"`, `"\u0069d":"2","data"`, 1), []string{"content-type", structured}, 400, "id: given twice"},
		"batch: object":             {good, []string{"content-type", batched}, 400, "a batch is a JSON array"},
		"batch: cut off":            {"[" + good, []string{"content-type", batched}, 400, "unexpected end"},
		"batch: rubbish behind":     {"[" + good + "] x", []string{"content-type", batched}, 400, "after top-level value"},
		"batch: number": {"[" + good + ",1]", []string{"content-type", batched}, 400,
			"event 1 of the batch, none of which was published"},
		"batch: one malformed": {"[" + good + "," + without("partitionkey") + "]", []string{"content-type", batched}, 400,
			"event 1 of the batch, none of which was published: malformed event: partitionkey"},
		"batch: too many": {"[" + strings.Repeat(good+",", 3) + good + "]", []string{"content-type", batched}, 413, "3 events at most"},
	} {
		t.Run(name, func(t *testing.T) {
			a := w.post(c.body, c.headers...)
			if a.status != c.status || !strings.Contains(a.Detail, c.detail) {
				t.Errorf("%d %q; want %d with %q", a.status, a.Detail, c.status, c.detail)
			}
			for _, e := range a.Events {
				if e.Kept != "no" {
					t.Errorf("event %q: kept %q", e.ID, e.Kept)
				}
			}
		})
	}
	if all := w.read(); len(all) != 0 {
		t.Errorf("on the stream: %+v", all)
	}
	if s := w.handler.Stats(); s.Malformed != s.Requests || s.Kept != 0 || s.Failed != 0 {
		t.Errorf("%+v", s)
	}
}

func TestAnEmptyBatchIsKept(t *testing.T) {
	w := newWorld(t, nil)
	if a := w.post("[]", "content-type", batched); a.status != http.StatusOK || len(a.Events) != 0 {
		t.Errorf("%+v", a)
	}
}

func TestOtherPathsAndMethods(t *testing.T) {
	w := newWorld(t, nil)
	r := w.request(nil)
	r.Method = http.MethodGet
	if a := w.do(r); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != "POST" {
		t.Errorf("%+v", a)
	}
	r = w.request(nil)
	r.URL.Path = "/"
	if a := w.do(r); a.status != http.StatusNotFound || !strings.Contains(a.Detail, "/events") {
		t.Errorf("%+v", a)
	}
}

// TestTheAccountOfABadBatch names each event.
func TestTheAccountOfABadBatch(t *testing.T) {
	w := newWorld(t, nil)
	a := w.post("["+good+","+with("time", `"noon"`)+"]", "content-type", batched)
	if a.status != 400 || len(a.Events) != 2 || a.Events[0].ID != "1" || a.Events[0].Error != "" ||
		a.Events[1].ID != "1" || !strings.Contains(a.Events[1].Error, "time") {
		t.Errorf("%+v", a)
	}
}
