package putrecords_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/publishers/kinesis/internal/putrecords"
)

func TestReadsAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		answer string
		want   []putrecords.Answer
	}{
		"usual": {
			`{"EncryptionType":"KMS","FailedRecordCount":1,"Records":[{"SequenceNumber":"49","ShardId":"s1"},` +
				`{"ErrorCode":"ProvisionedThroughputExceededException","ErrorMessage":"Rate exceeded"},{"SequenceNumber":"50","ShardId":"s1"}]}`,
			[]putrecords.Answer{
				{SequenceNumber: "49", ShardID: "s1"},
				{ErrorCode: "ProvisionedThroughputExceededException", ErrorMessage: "Rate exceeded"},
				{SequenceNumber: "50", ShardID: "s1"},
			},
		},
		"null":    {`{"Records":[{"SequenceNumber":"1","ErrorCode":null,"ErrorMessage":null},null]}`, []putrecords.Answer{{SequenceNumber: "1"}, {}}},
		"spaces":  {" {\r\n\t\"Records\" : [ { \"ShardId\" : \"s\" } , { } ] } ", []putrecords.Answer{{ShardID: "s"}, {}}},
		"escapes": {`{"\u0052ecords":[{"ErrorMessage":"\"\\\/\ud83c\udf33\n"}]}`, []putrecords.Answer{{ErrorMessage: "\"\\/🌳\n"}}},
		"unknown": {`{"New":{"a":[1,-2.5e3,true,false,null,"]"]},"Records":[{"New":[{}],"ShardId":"s"}]}`, []putrecords.Answer{{ShardID: "s"}}},
		"twice":   {`{"Records":[{"ShardId":"a"},{}],"Records":[{"ShardId":"b","ShardId":"c"}]}`, []putrecords.Answer{{ShardID: "c"}}},
		"none":    {`{}`, nil},
		"nothing": {`null`, nil},
		"in CBOR": {
			"\xbf\x71FailedRecordCount\x00\x67Records\x9f\xbf\x6eSequenceNumber\x6249\x67ShardId\x62s1\xff\xa2\x67ShardId\x62s1\x69ErrorCode\xf6\xff\xff",
			[]putrecords.Answer{{SequenceNumber: "49", ShardID: "s1"}, {ShardID: "s1"}},
		},
		"chunks in CBOR": {"\xa1\x67Records\x81\xa1\x67ShardId\x7f\x62sh\x60\x62ar\xff", []putrecords.Answer{{ShardID: "shar"}}},
		"unknown in CBOR": {
			"\xa3\x61a\xc1\x1b\x00\x00\x01\x8b\xcf\xe5\x68\x00\x61b\x82\xf9\x7e\x00\x5f\x41x\xff\x67Records\x81\xa2\x01\x20\x67ShardId\x61s",
			nil, // a key that is not a text
		},
	} {
		got, err := putrecords.ReadAnswers([]byte(test.answer))
		if name == "unknown in CBOR" {
			if err == nil {
				t.Errorf("%s: got %v", name, got)
			}
			continue
		}
		if diff := cmp.Diff(test.want, got); err != nil || len(got)+len(test.want) > 0 && diff != "" {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
}

func TestMalformedAnswers(t *testing.T) {
	for _, answer := range []string{
		"", "{", "[", "[]", `"x"`, "1", "{}{}", `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{"Records":{}}`, `{"Records":[1]}`, `{"Records":["a"]}`,
		`{"Records":[{"ShardId":1}]}`, `{"Records":[{"ShardId":"\x"}]}`, `{"Records":[{"ShardId":"a` + "\n" + `"}]}`, `{"a":01}`, `{"a":+1}`,
		`{"a":.}`, `{"a":tru}`, `{"a":nul}`, `{"a":"`, `{"a":"\`, `{"a":[1 2]}`,
		strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40), strings.Repeat(`{"a":[`, 100_000),
		"\xa1", "\xbf", "\xa1\x61a", "\xa1\x61\xff\x00", "\xa0\x00", "\xa1\x61a\xff", "\xa1\x61a\xfc", "\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
		"\xa1\x61a\x9b\x7f\xff\xff\xff\xff\xff\xff\xff", "\xa1\x61a\x7b\x7f\xff\xff\xff\xff\xff\xff\xff", "\xa1\x61a\x7f\x41a\xff",
		"\xa1\x61a\x7f\x7f\xff\xff", "\xa1\x61a\xdf\x00", "\xa1\x61a\x1f", "\xa1\x67Records\xa0", "\xa1\x67Records\x81\x01",
		"\xa1\x61a" + strings.Repeat("\x81", 100_000), "\xa1\x61a" + strings.Repeat("\xc1", 100_000),
	} {
		if got, err := putrecords.ReadAnswers([]byte(answer)); err == nil || len(got) > 0 {
			t.Errorf("%.80q: %v, %v", answer, got, err)
		}
	}
}

func TestTooManyResults(t *testing.T) {
	many := `{"Records":[` + strings.Repeat("{},", 100_000) + `{}]}`
	if _, err := putrecords.ReadAnswers([]byte(many)); err == nil || !strings.Contains(err.Error(), "10000") {
		t.Error(err)
	}
}

// wireAnswer is an answer for the encoders of others.
type wireAnswer struct {
	Records []wireResult
}

type wireResult struct{ SequenceNumber, ShardId, ErrorCode, ErrorMessage string }

func (a wireAnswer) answers() []putrecords.Answer {
	var out []putrecords.Answer
	for _, r := range a.Records {
		out = append(out, putrecords.Answer{SequenceNumber: r.SequenceNumber, ShardID: r.ShardId, ErrorCode: r.ErrorCode, ErrorMessage: r.ErrorMessage})
	}
	return out
}

// exact makes encoding/json and cbor as strict about names as the protocol is,
// by leaving out what they would match in another case.
func exact(names map[string]any) bool {
	for name, v := range names {
		switch name {
		case "Records", "SequenceNumber", "ShardId", "ErrorCode", "ErrorMessage":
		default:
			for _, known := range []string{"Records", "SequenceNumber", "ShardId", "ErrorCode", "ErrorMessage"} {
				if strings.EqualFold(name, known) {
					return false
				}
			}
		}
		if list, ok := v.([]any); ok {
			for _, item := range list {
				if m, ok := item.(map[string]any); ok && !exact(m) {
					return false
				}
			}
		}
	}
	return true
}

// FuzzJSONAnswer: what encoding/json reads as an answer is read as the same, and
// what it does not is refused.
func FuzzJSONAnswer(f *testing.F) {
	f.Add(`{"FailedRecordCount":0,"Records":[{"SequenceNumber":"49","ShardId":"shardId-000000000000"}]}`)
	f.Add(`{"a":[{"b":[1.5e-3,"\u00e9",null,true]}],"Records":[{"ErrorCode":"x","ErrorMessage":"\ud800"},null]}`)
	f.Add(`{"Records":null}`)
	f.Fuzz(func(t *testing.T, text string) {
		if text == "" || text[0]&0xe0 == 0xa0 {
			return // CBOR
		}
		got, err := putrecords.ReadAnswers([]byte(text))
		if !json.Valid([]byte(text)) {
			if err == nil {
				t.Fatalf("%q was read as %v", text, got)
			}
			return
		}
		var names map[string]any
		var want wireAnswer
		if json.Unmarshal([]byte(text), &names) != nil || !exact(names) || json.Unmarshal([]byte(text), &want) != nil {
			return // valid, but not an answer
		}
		if strings.Count(text, `"`) > 2 && twice(text) {
			return // encoding/json merges what it reads into what it has read
		}
		if err != nil {
			if strings.Count(text, "[")+strings.Count(text, "{") > 20 {
				return // too deep
			}
			t.Fatalf("%q: %v, and is %+v", text, err, want)
		}
		if diff := cmp.Diff(want.answers(), got); len(got)+len(want.Records) > 0 && diff != "" {
			t.Fatalf("%q: %s", text, diff)
		}
	})
}

// twice tells whether a member may be there twice.
func twice(text string) bool {
	d := json.NewDecoder(strings.NewReader(text))
	records := 0
	fields := make(map[string]bool)
	for {
		token, err := d.Token()
		if err != nil {
			return false
		}
		switch v := token.(type) {
		case json.Delim:
			if v == '{' {
				clear(fields)
			}
		case string:
			if v == "Records" {
				records++
			}
			if fields[v] || records > 1 {
				return true
			}
			fields[v] = true
		}
	}
}

// FuzzCBORAnswer: the same, with another implementation of CBOR.
func FuzzCBORAnswer(f *testing.F) {
	for _, v := range []any{
		wireAnswer{[]wireResult{{SequenceNumber: "49", ShardId: "s"}, {ErrorCode: "x", ErrorMessage: "y"}}},
		map[string]any{"Records": []any{map[string]any{"ShardId": "s", "a": []any{1, -1, 1.5, []byte("x"), nil, true}}}},
	} {
		b, err := cbor.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("\xbf\x67Records\x9f\xbf\x6eSequenceNumber\x7f\x6249\x61x\xff\xff\xff\xff"))
	mode, err := cbor.DecOptions{DupMapKey: cbor.DupMapKeyEnforcedAPF, FieldNameMatching: cbor.FieldNameMatchingCaseSensitive, MaxNestedLevels: 16}.DecMode()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 || data[0]&0xe0 != 0xa0 {
			return // JSON
		}
		got, err := putrecords.ReadAnswers(data)
		if cbor.Wellformed(data) != nil {
			if err == nil && !isDeep(cbor.Wellformed(data)) {
				t.Fatalf("%x was read as %v", data, got)
			}
			return
		}
		var want wireAnswer
		if mode.Unmarshal(data, &want) != nil || err != nil || !utf8.Valid(data) {
			return // what is no answer may be refused, and strange types may be converted
		}
		if diff := cmp.Diff(want.answers(), got); len(got)+len(want.Records) > 0 && diff != "" {
			t.Fatalf("%x: %s", data, diff)
		}
	})
}

func isDeep(err error) bool {
	var deep *cbor.MaxNestedLevelError
	var long *cbor.MaxArrayElementsError
	var pairs *cbor.MaxMapPairsError
	return errors.As(err, &deep) || errors.As(err, &long) || errors.As(err, &pairs)
}
