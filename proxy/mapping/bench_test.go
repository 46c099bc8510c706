package mapping_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/proxy/mapping"
)

// page is an answer of 1 KB: a list with a cursor.
var page = func() []byte {
	var items []string
	for i := range 6 {
		items = append(items, fmt.Sprintf(`{"postId":"p%d","authorId":"u%d","authorName":"Ada Lovelace","likes":%d,`+
			`"text":"What a day, with more text that follows here","publishedAt":"2016-11-21T09:00:00Z"}`, i, i, 9007199254740993+i))
	}
	return []byte(`{"items":[` + strings.Join(items, ",") + `],"nextCursor":"abc"}`)
}()

const timeline = `{status: ok, data: {posts: {each: $.items, as: {post_id: $.postId, author_id: $.authorId, author_name: $.authorName,
  text: $.text, likes: $.likes, created_ts: {from: $.publishedAt, convert: unixMillis}}}, next: {from: $.nextCursor, default: ""},
  has_more: {from: has($.nextCursor)}}}`

func BenchmarkMap(b *testing.B) {
	m, err := mapping.Compile(node(b, timeline), inAnswer)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(page)))
	b.ReportAllocs()
	for b.Loop() {
		body, err := mapping.DecodeBody("", page)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := m.AppendJSON(nil, &mapping.Scope{Body: body, Status: 200}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodeEncode is what the same body costs to decode and encode as it is.
func BenchmarkDecodeEncode(b *testing.B) {
	b.SetBytes(int64(len(page)))
	b.ReportAllocs()
	for b.Loop() {
		var v any
		if err := json.Unmarshal(page, &v); err != nil {
			b.Fatal(err)
		}
		if _, err := json.Marshal(v); err != nil {
			b.Fatal(err)
		}
	}
}
