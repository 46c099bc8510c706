package conformance

import "strings"

// fields is about what the fields of a request become: RFC 9110, sections 5 to 7 and 10.
func fields() []Case {
	got, lost := fetched.with, fetched.or().open().without
	var out []Case
	for _, f := range []struct {
		name, fields string
		want         Want
	}{
		{"fields that repeat", "X-A: 1\nX-A: 2\n", got("X-A: 1", "X-A: 2")},
		{"a field that is empty", "X-Empty:\n", got("X-Empty: ")},
		{"cookies as they came", "Cookie: a=\"b c\"; d=e=f;g\nCookie: h\n", got()},
		{"a field with raw bytes", "X-A: \xff\xc3\xa9\n", fetched.or()},
		{"a field that is folded", "X-A: 1\n 2\n", fetched.or()},
		{"a folded line after the token", " X-A: 1\n", Want{Sees: fetched.Sees, Refused: true, Or: true, AnySide: true}},
		{"a field without a colon", "X-A\n", refused},
		{"a field without a name", ": a\n", refused},
		{"a field with a space in its name", "X A: 1\n", refused},
		{"a field with a space before the colon", "X-A : 1\n", refused},
		{"a field with a parenthesis in its name", "X(A): 1\n", refused},
		{"a field with NUL in its name", "X<NUL>A: 1\n", refused},
		{"a field with a raw byte in its name", "X-\xff: 1\n", refused},
		{"a field with NUL", "X-A: 1<NUL>2\n", refused},
		{"a field with a control character", "X-A: 1\x012\n", refused},
		{"a field with DEL", "X-A: 1\x7f2\n", refused},
		{"a field with a bare CR", "X-A: 1<CR>2\n", refused},
		{"fields of 256 KB", "X-A: " + strings.Repeat("a", 256<<10) + "\n", refused.silent()},
		{"fields, 20,000 of them", strings.Repeat("X-A: aaaaaaaaaa\n", 20_000), refused.silent()},

		{"a spoofed X-Forwarded-For", "X-Forwarded-For: 6.6.6.6\n", got("X-Forwarded-For: 127.0.0.1")},
		{"a spoofed X-Forwarded-For that Connection names", "Connection: X-Forwarded-For\n", got("X-Forwarded-For: 127.0.0.1")},
		{"a spoofed Forwarded", "Forwarded: for=6.6.6.6\n", lost("Forwarded: for=6.6.6.6")},
		{"a spoofed X-Forwarded-Host", "X-Forwarded-Host: evil.test\n", lost("X-Forwarded-Host: evil.test")},
		{"a spoofed X-Forwarded-Proto", "X-Forwarded-Proto: https\n", lost("X-Forwarded-Proto: https")},
		{"a spoofed X-Forwarded-Prefix (traefik#11253)", "X-Forwarded-Prefix: /evil\n", lost("X-Forwarded-Prefix: /evil")},
		{"a spoofed X-Forwarded-Port", "X-Forwarded-Port: 666\n", lost("X-Forwarded-Port: 666")},
		{"a spoofed X-Real-IP", "X-Real-IP: 6.6.6.6\n", lost("X-Real-IP: 6.6.6.6")},
		{"a spoofed X-Original-URL", "X-Original-URL: /evil\n", lost("X-Original-URL")},
		{"a spoofed X-Rewrite-URL", "X-Rewrite-URL: /evil\n", lost("X-Rewrite-URL")},
		{"spoofed fields with underscores", "X_Forwarded_For: 6.6.6.6\nX-Forwarded_Proto: https\nX_Real_IP: 6.6.6.6\n",
			lost("X_Forwarded_For", "X-Forwarded_Proto", "X_Real_IP")},
		{"spoofed positions of writes", "Banyan-Read-After: 1\nBanyan-Written: 1\n", lost("Banyan-Read-After", "Banyan-Written")},

		{"Connection: close is the client's own", "Connection: close\n", Want{Sees: fetched.Sees, SeesNot: []string{"Connection: close"}, Closes: true}},
		{"fields that Connection names", "Connection: X-Mine, keep-alive\nX-Mine: 1\nKeep-Alive: timeout=5\n",
			lost("X-Mine", "Keep-Alive")},
		{"fields of the proxy", "Proxy-Connection: keep-alive\nProxy-Authorization: Basic eA==\n",
			lost("Proxy-Connection", "Proxy-Authorization")},
		{"Host that Connection names", "Connection: Host\n", fetched.or().with("Host")},
		{"TE: trailers", "TE: trailers\nConnection: TE\n", got("TE: trailers")},
		{"TE with codings", "TE: gzip, trailers;q=0.5\nConnection: TE\n", lost("TE: gzip, trailers;q=0.5", "TE: gzip")},
		{"Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAMAAABkAAQAAP__\n",
			lost("Upgrade", "HTTP2-Settings")},
		{"Upgrade: h2c that Connection does not name", "Upgrade: h2c\nHTTP2-Settings: AAMAAABkAAQAAP__\n",
			lost("Upgrade", "HTTP2-Settings")},
		{"Upgrade: TLS", "Connection: Upgrade\nUpgrade: TLS/1.0\n", lost("Upgrade: TLS/1.0")},
		{"nothing that the client did not say", "", lost("User-Agent", "Content-Length", "Transfer-Encoding", "Content-Type")},
		{"no trace, and one that says that it is not sampled", "", lost("traceparent: *-00")},
		{"Max-Forwards", "Max-Forwards: 0\n", got()},
		{"Expect of something unknown", "Expect: the-unexpected\n", fetched.or().open()},
	} {
		out = append(out, Case{Name: f.name, Send: "GET {path} HTTP/1.1\n{h}" + f.fields + "\n", Want: f.want})
	}
	expects := func(name, fields, body string, want Want) Case {
		return Case{Name: name, Send: "POST {path} HTTP/1.1\n{h}" + fields + "Content-Length: 7\n\n" + body, Want: want}
	}
	asked := Want{Sees: passed.Sees, Interim: []string{"100"}}
	return append(out,
		expects("Expect: 100-continue", "Expect: 100-continue\n", "<WAIT>{b}", asked),
		expects("Expect: 100-continue in other letters", "Expect: 100-Continue\n", "<WAIT>{b}", asked),
		expects("Expect twice", "Expect: 100-continue\nExpect: 100-continue\n", "{b}", either),
		expects("Expect, with the body at once", "Expect: 100-continue\n", "{b}", passed),
		Case{Name: "Expect with HTTP/1.0", Send: "POST {path} HTTP/1.0\n{h}Expect: 100-continue\nContent-Length: 7\n\n{b}",
			Want: Want{Sees: passed.Sees, Closes: true}},
		Case{Name: "a trailer that was announced", Kinds: unmapped, Want: passed.with("X-Late: 1"),
			Send: "POST {path} HTTP/1.1\n{h}Trailer: X-Late\nTransfer-Encoding: chunked\n\n7\n{b}\n0\nX-Late: 1\n\n"},
		Case{Name: "conditions and ranges are of another representation (KrakenD#604)", Kinds: []Kind{Mapped},
			Send: "GET {path} HTTP/1.1\n{h}Range: bytes=0-1\nIf-Range: \"a\"\nIf-None-Match: \"a\"\n" +
				"If-Modified-Since: Mon, 30 Nov 2026 00:00:00 GMT\nAccept-Encoding: br, zstd\n\n",
			Want: fetched.without("Range", "If-Range", "If-None-Match", "If-Modified-Since", "Accept-Encoding: br, zstd")},
		Case{Name: "conditions and ranges pass", Kinds: unmapped,
			Send: "GET {path} HTTP/1.1\n{h}Range: bytes=0-1\nIf-None-Match: \"a\"\nAccept-Encoding: br, zstd\n\n",
			Want: fetched.with("Range: bytes=0-1", "If-None-Match: \"a\"", "Accept-Encoding: br, zstd")},
		Case{Name: "a traceparent that was sampled", Want: fetched.with("traceparent"),
			Send: "GET {path} HTTP/1.1\n{h}traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n\n"},
	)
}
