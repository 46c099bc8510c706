package putrecords_test

import (
	"strings"
	"testing"

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
		"unknown": {`{"New":{"a":[1,null,"]"]},"Records":[{"New":[{}],"ShardId":"s"}]}`, []putrecords.Answer{{ShardID: "s"}}},
		"none":    {`{}`, nil},
		"nothing": {`null`, nil},
		"in CBOR": {
			"\xbf\x71FailedRecordCount\x00\x67Records\x9f\xbf\x6eSequenceNumber\x6249\x67ShardId\x62s1\xff\xa2\x67ShardId\x62s1\x69ErrorCode\xf6\xff\xff",
			[]putrecords.Answer{{SequenceNumber: "49", ShardID: "s1"}, {ShardID: "s1"}},
		},
		"chunks in CBOR": {"\xa1\x67Records\x81\xa1\x67ShardId\x7f\x62sh\x60\x62ar\xff", []putrecords.Answer{{ShardID: "shar"}}},
	} {
		got, err := putrecords.ReadAnswers([]byte(test.answer))
		if diff := cmp.Diff(test.want, got); err != nil || len(got)+len(test.want) > 0 && diff != "" {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
}

func TestMalformedAnswers(t *testing.T) {
	for _, answer := range []string{
		"", "{", "[]", `"x"`, "{}{}", `{"Records":{}}`, `{"Records":[1]}`, `{"Records":[{"ShardId":1}]}`,
		"\xa1", "\xbf", "\xa0\x00", "\xbb\xff\xff\xff\xff\xff\xff\xff\xff", "\xa1\x67Records\xa0", "\xa1\x67Records\x81\x01",
		"\xa1\x61a" + strings.Repeat("\x81", 100_000), "\xa1\x61a" + strings.Repeat("\xc1", 100_000),
	} {
		if got, err := putrecords.ReadAnswers([]byte(answer)); err == nil || len(got) > 0 {
			t.Errorf("%.80q: %v, %v", answer, got, err)
		}
	}
}

// TestNothingIsLeftOfTheAnswerBefore: a request is used again, and its answers are.
func TestNothingIsLeftOfTheAnswerBefore(t *testing.T) {
	for _, second := range []string{`{"Records":[{},{"ShardId":"s2"}]}`, "\xa1\x67Records\x82\xa0\xa1\x67ShardId\x62s2"} {
		got, err := putrecords.ReadAnswers([]byte(`{"Records":[{"SequenceNumber":"1","ErrorCode":"x"},{"SequenceNumber":"2"}]}`), []byte(second))
		if diff := cmp.Diff([]putrecords.Answer{{}, {ShardID: "s2"}}, got); err != nil || diff != "" {
			t.Errorf("%q: %v %s", second, err, diff)
		}
	}
}
