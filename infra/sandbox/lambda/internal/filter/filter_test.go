package filter_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/infra/sandbox/lambda/internal/filter"
)

func event(source filter.Source, data string) []byte {
	switch source {
	case filter.Kinesis:
		return fmt.Appendf(nil, `{"kinesis":{"data":%q},"eventSource":"aws:kinesis"}`, base64.StdEncoding.EncodeToString([]byte(data)))
	case filter.SQS:
		return fmt.Appendf(nil, `{"body":%q,"eventSource":"aws:sqs"}`, data)
	}
	return fmt.Appendf(nil, `{"eventName":"INSERT","dynamodb":%s}`, data)
}

// The comparisons of the developer guide's table, on the data of each source.
func TestComparisons(t *testing.T) {
	for _, c := range []struct {
		rules    string // of the field f
		keeps    []string
		discards []string
	}{
		{`[null]`, []string{`null`}, []string{`""`, ``, `0`}},
		{`[""]`, []string{`""`}, []string{`null`, ``, `" "`}},
		{`["Alice"]`, []string{`"Alice"`, `["Bob","Alice"]`}, []string{`"alice"`, `{"Alice":1}`, ``, `[]`, `["Bob"]`}},
		{`[{"equals-ignore-case":"Alice"}]`, []string{`"ALICE"`}, []string{`"Alic"`, `1`}},
		{`["Credit","Debit"]`, []string{`"Credit"`, `"Debit"`}, []string{`"Cash"`}},
		{`[{"anything-but":["Raining"]}]`, []string{`"Sunny"`, `7`, `null`}, []string{`"Raining"`, ``}},
		{`[{"anything-but":5}]`, []string{`6`, `"5"`}, []string{`5`}},
		{`[{"numeric":["=",100]}]`, []string{`100`, `1e2`, `100.0`}, []string{`"100"`, `101`, ``}},
		{`[{"numeric":[">",10,"<=",20]}]`, []string{`20`, `10.000000001`}, []string{`10`, `20.5`, `null`}},
		{`[300]`, []string{`300`}, []string{`300.0`, `3.0e2`, `"300"`}},
		{`[true]`, []string{`true`}, []string{`false`, `"true"`}},
		{`[{"exists":true}]`, []string{`1`, `null`}, []string{``, `{"g":1}`}},
		{`[{"exists":false}]`, []string{``, `{"g":1}`}, []string{`1`, `null`}},
		{`[{"prefix":"us-"}]`, []string{`"us-east-1"`}, []string{`"US-east-1"`, `"eu"`, ``}},
		{`[{"suffix":".png"},{"prefix":"a"}]`, []string{`"x.png"`, `"abc"`}, []string{`"x.jpg"`}},
		{`{"g":["x"]}`, []string{`{"g":"x"}`, `[{"g":"y"},{"g":"x"}]`}, []string{`"x"`, `[]`, `{"g":"y"}`}},
	} {
		for source, pattern := range map[filter.Source]string{
			filter.Kinesis: `{"data":{"f":%s}}`, filter.SQS: `{"body":{"f":%s}}`, filter.DynamoDB: `{"eventName":["INSERT"],"dynamodb":{"f":%s}}`,
		} {
			criteria, err := filter.Parse(source, []string{fmt.Sprintf(pattern, c.rules)})
			if err != nil {
				t.Errorf("%s: %v", c.rules, err)
				continue
			}
			check := func(value string, want bool) {
				data := `{"other":1}`
				if value != "" {
					data = `{"f":` + value + `}`
				}
				if got := criteria.Keeps(event(source, data)); got != want {
					t.Errorf("%s: %s of %s is kept: %t", c.rules, data, source, got)
				}
			}
			for _, v := range c.keeps {
				check(v, true)
			}
			for _, v := range c.discards {
				check(v, false)
			}
		}
	}
}

func TestPatternsAreCombined(t *testing.T) {
	for _, c := range []struct {
		source   filter.Source
		patterns []string
		data     string
		want     bool
	}{
		{filter.Kinesis, nil, `no JSON`, true},
		{filter.Kinesis, []string{`{"data":{"a":[1],"b":[2]}}`}, `{"a":1,"b":2}`, true},
		{filter.Kinesis, []string{`{"data":{"a":[1],"b":[2]}}`}, `{"a":1,"b":3}`, false},
		{filter.Kinesis, []string{`{"data":{"a":[1]}}`, `{"data":{"b":[2]}}`}, `{"b":2}`, true},
		{filter.Kinesis, []string{`{"data":{"$or":[{"a":[1]},{"b":[2]}],"c":[3]}}`}, `{"b":2,"c":3}`, true},
		{filter.Kinesis, []string{`{"data":{"$or":[{"a":[1]},{"b":[2]}],"c":[3]}}`}, `{"c":3}`, false},
		{filter.Kinesis, []string{`{"data":{"$or":[{"a":[1]},{"b":[2]}],"c":[3]}}`}, `{"a":1}`, false},
		{filter.Kinesis, []string{`{"data":{"a":[{"exists":false}]}}`}, `no JSON`, false},
		{filter.SQS, []string{`{"body":["plain",{"prefix":"Res"}]}`}, `Result: 1`, true},
		{filter.SQS, []string{`{"body":["plain"]}`}, `other`, false},
		{filter.SQS, []string{`{"body":["1",1]}`}, `1`, false},
		{filter.SQS, []string{`{"body":[{"exists":false}]}`}, `{"a":1}`, false},
		{filter.SQS, []string{`{"body":{"a":[{"exists":false}]}}`}, `plain`, false},
		{filter.SQS, []string{`{"body":{"a":[1]}}`}, `plain`, false},
		{filter.DynamoDB, []string{`{"eventName":["REMOVE"]}`}, `{}`, false},
	} {
		criteria, err := filter.Parse(c.source, c.patterns)
		if err != nil {
			t.Errorf("%s: %v", c.patterns, err)
			continue
		}
		if got := criteria.Keeps(event(c.source, c.data)); got != c.want {
			t.Errorf("%s: %s of %s is kept: %t", c.patterns, c.data, c.source, got)
		}
	}
}

func TestInvalidPatterns(t *testing.T) {
	for _, text := range []string{
		``, `[]`, `{}`, `{"data":{}}`, `{"data":["x"]}`, `{"partitionKey":["x"]}`, `{"data":{"a":"x"}}`, `{"data":{"a":[]}}`,
		`{"data":{"a":[["x"]]}}`, `{"data":{"a":[{"wildcard":"*"}]}}`, `{"data":{"a":[{"prefix":1}]}}`, `{"data":{"a":[{"exists":"yes"}]}}`,
		`{"data":{"a":[{"numeric":[">"]}]}}`, `{"data":{"a":[{"numeric":["!",1]}]}}`, `{"data":{"a":[{"numeric":[">","1"]}]}}`,
		`{"data":{"a":[{"anything-but":{"prefix":"x"}}]}}`, `{"data":{"a":[{"prefix":"x","suffix":"y"}]}}`, `{"data":{"a":[{}]}}`,
		`{"data":{"$or":[{"a":[1]}]}}`, `{"data":{"$or":[1,2]}}`, `{"data":` + strings.Repeat(`{"a":`, 40) + `[1]` + strings.Repeat(`}`, 41),
		`{"data":{"a":["` + strings.Repeat("x", 4096) + `"]}}`, `{"data":{"a":[1]}} {}`,
	} {
		if _, err := filter.Parse(filter.Kinesis, []string{text}); !errors.Is(err, filter.ErrInvalid) {
			t.Errorf("%.80s: %v", text, err)
		}
	}
	if _, err := filter.Parse(filter.SQS, make([]string, 6)); err == nil {
		t.Error("six filters are accepted")
	}
}

// Whatever is in patterns and records, nothing breaks.
func FuzzKeeps(f *testing.F) {
	f.Add(`{"body":{"a":[{"numeric":[">",1]}],"$or":[{"b":[1]},{"c":[{"exists":false}]}]}}`, `{"a":[{"b":1e999999}]}`)
	f.Add(`{"body":["x",{"anything-but":[1,null]}]}`, `x`)
	f.Fuzz(func(t *testing.T, pattern, body string) {
		for _, source := range []filter.Source{filter.SQS, filter.Kinesis, filter.DynamoDB} {
			criteria, err := filter.Parse(source, []string{pattern})
			if err != nil {
				continue
			}
			criteria.Keeps(event(source, body))
		}
	})
}
