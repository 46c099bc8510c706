package conformance

import "strings"

// line is a request of its own: what arrives, unless it is refused, is the same line, or,
// where want says so, another.
type line struct {
	name, start string
	want        Want
}

// requests is about the request line and Host: RFC 9112, section 3, and RFC 9110,
// sections 7.2 and 9.
func requests() []Case {
	as := func(line string) Want { return Want{Sees: []string{line}} }
	or := func(line string) Want { return as(line).or().open() }
	wide := func(w Want) Want { w.AnySide = true; return w }
	// Paths with dot or empty segments and invalid escapes match no route.
	target := func(t string) Want { return wide(as("GET " + t)) }
	var out []Case
	for _, l := range []line{
		{"query with semicolons (golang/go#54663)", "GET {path}?ids=1;2 HTTP/1.1", as("GET {path}?ids=1;2")},
		{"query with a lone percent (oathkeeper#1255)", "GET {path}?b=2&a=100%&c=3 HTTP/1.1", as("GET {path}?b=2&a=100%&c=3")},
		{"query with an invalid escape", "GET {path}?a=%zz&b HTTP/1.1", as("GET {path}?a=%zz&b")},
		{"query in its order, with repeats", "GET {path}?b=1&a=2&b=3&&=&a HTTP/1.1", as("GET {path}?b=1&a=2&b=3&&=&a")},
		{"query with plus, %20 and %2B", "GET {path}?a=b+c%20d%2Be HTTP/1.1", as("GET {path}?a=b+c%20d%2Be")},
		{"query that is empty", "GET {path}? HTTP/1.1", as("GET {path}?")},
		{"query with question marks", "GET {path}?a=?&b=?c?d HTTP/1.1", as("GET {path}?a=?&b=?c?d")},
		{"query with brackets and bars", `GET {path}?a[b]=|{c}^"d"\e HTTP/1.1`, or(`GET {path}?a[b]=|{c}^"d"\e`)},
		{"query with a slash and a colon", "GET {path}?u=http://a.test/b HTTP/1.1", as("GET {path}?u=http://a.test/b")},
		{"DELETE with a query with semicolons", "DELETE {path}?ids=1;2 HTTP/1.1", as("DELETE {path}?ids=1;2")},
		{"path with an escaped slash", "GET {path}%2Fb HTTP/1.1", as("GET {path}%2Fb")},
		{"path with a needless escape", "GET {path}%41%7e HTTP/1.1", as("GET {path}%41%7e")},
		{"path with lower-case escapes", "GET {path}%c3%a9 HTTP/1.1", as("GET {path}%c3%a9")},
		{"path with an escaped NUL", "GET {path}%00 HTTP/1.1", or("GET {path}%00")},
		{"path with a lone percent", "GET {path}/100% HTTP/1.1", wide(or("GET {path}/100%"))},
		{"path with sub-delimiters", "GET {path}/a;b=c,d!$&'()*+:@ HTTP/1.1", as("GET {path}/a;b=c,d!$&'()*+:@")},
		{"path with raw bytes", "GET {path}/\xc3\xa9 HTTP/1.1", or("GET {path}/\xc3\xa9")},
		{"path with brackets and bars", `GET {path}/[a]|{c}^"d" HTTP/1.1`, or(`GET {path}/[a]|{c}^"d"`)},
		{"path with a backslash", `GET {path}\..\b HTTP/1.1`, or(`GET {path}\..\b`)},
		{"path with double slashes", "GET {path}//b/ HTTP/1.1", target("{path}//b/")},
		{"path with dot segments", "GET {path}/../../b/./c HTTP/1.1", target("{path}/../../b/./c")},
		{"path with escaped dot segments", "GET {path}/%2e%2e/b HTTP/1.1", target("{path}/%2e%2e/b")},
		{"path that begins like an authority", "GET //evil.test{path} HTTP/1.1", target("//evil.test{path}")},
		{"path of 8 KB", "GET {path}/" + strings.Repeat("a", 8000) + " HTTP/1.1", or("GET {path}/" + strings.Repeat("a", 8000))},
		{"path of 256 KB", "GET {path}/" + strings.Repeat("a", 256<<10) + " HTTP/1.1", refused.silent()},
		{"path with a space", "GET {path}/a b HTTP/1.1", refused},
		{"path with NUL", "GET {path}/<NUL> HTTP/1.1", refused},
		{"path with a tab", "GET {path}/\ta HTTP/1.1", refused},
		{"path with a bare CR", "GET {path}/<CR>a HTTP/1.1", refused},
		{"path with DEL", "GET {path}/\x7f HTTP/1.1", refused},
		{"path with a fragment", "GET {path}#a HTTP/1.1", or("GET {path}")},
		{"path without a slash", "GET proxy.test{path} HTTP/1.1", refused.open()},
		{"path that is userinfo", "GET @proxy.test{path} HTTP/1.1", refused.open()},

		{"method that is unknown", "FROB {path} HTTP/1.1", or("FROB {path}")},
		{"method in small letters", "get {path} HTTP/1.1", or("get {path}")},
		{"method with a parenthesis", "GE(T {path} HTTP/1.1", refused},
		{"method with NUL", "GE<NUL>T {path} HTTP/1.1", refused},
		{"method after a space", " GET {path} HTTP/1.1", refused},
		{"method before two spaces", "GET  {path} HTTP/1.1", refused},
		{"method before a tab", "GET\t{path} HTTP/1.1", refused},
		{"no method", "{path} HTTP/1.1", refused},
		{"TRACE", "TRACE {path} HTTP/1.1", or("TRACE {path}")},
		{"OPTIONS", "OPTIONS {path} HTTP/1.1", as("OPTIONS {path}")},
		{"OPTIONS of the server", "OPTIONS * HTTP/1.1\nX-Token: {token}", Want{Sees: []string{"OPTIONS *"},
			AnySide: true, Lonely: true, Status: []int{200, 204, 400, 403, 404, 405, 501}}},
		{"GET of the server", "GET * HTTP/1.1\nX-Token: {token}", refused.open()},
		{"CONNECT", "CONNECT {token}.test:443 HTTP/1.1", refused.open()},
		{"CONNECT with a path", "CONNECT {path} HTTP/1.1", refused.open()},
		{"CONNECT to the proxy itself", "CONNECT proxy.test:80 HTTP/1.1\nX-Token: {token}", refused.open()},
		{"PRI in HTTP/1.1", "PRI * HTTP/1.1\nX-Token: {token}", refused.open()},

		{"version 1.0", "GET {path} HTTP/1.0", Want{Sees: []string{"GET {path}"}, Closes: true}},
		{"version 1.0, kept alive", "GET {path} HTTP/1.0\nConnection: keep-alive", as("GET {path}")},
		{"version 1.2", "GET {path} HTTP/1.2", or("GET {path}")},
		{"version 2.0", "GET {path} HTTP/2.0", refused},
		{"version 9.9", "GET {path} HTTP/9.9", refused},
		{"version 1.10", "GET {path} HTTP/1.10", refused},
		{"version 01.1", "GET {path} HTTP/01.1", refused},
		{"version with garbage", "GET {path} HTTP/1.1x", refused},
		{"version in small letters", "GET {path} http/1.1", refused},
		{"version of another protocol", "GET {path} RTSP/1.1", refused},
		{"version before a space", "GET {path} HTTP/1.1 ", refused},
		{"no version (HTTP/0.9)", "GET {path}", refused.silent()},
		{"no version, with a space", "GET {path} ", refused.silent()},

		{"absolute form", "GET http://proxy.test{path}?a=b HTTP/1.1", or("GET {path}?a=b")},
		{"absolute form of https", "GET https://proxy.test{path} HTTP/1.1", or("GET {path}")},
		{"absolute form of another scheme", "GET ftp://proxy.test{path} HTTP/1.1", or("GET {path}")},
		{"absolute form with userinfo", "GET http://a:b@proxy.test{path} HTTP/1.1", or("GET {path}")},
	} {
		out = append(out, Case{Name: l.name, Send: l.start + "\n{h}\n", Want: l.want})
	}
	return append(out, hosts()...)
}

func hosts() []Case {
	legacy := []Kind{Legacy} // which is told the name that the client called
	var out []Case
	for _, h := range []struct {
		name, fields string
		kinds        []Kind
		want         Want
	}{
		{"no Host", "", nil, refused},
		{"Host twice", "Host: proxy.test\nHost: evil.test\n", nil, refused},
		{"Host twice, the same", "Host: proxy.test\nHost: proxy.test\n", nil, refused},
		{"Host with a port", "Host: proxy.test:8080\n", legacy, fetched.with("Host: proxy.test:8080")},
		{"Host that is an IPv6 address", "Host: [::1]:8080\n", legacy, fetched.with("Host: [::1]:8080")},
		{"Host that is empty", "Host:\n", nil, fetched.or().open()},
		{"Host with a space", "Host: proxy test\n", nil, refused},
		{"Host with a path", "Host: proxy.test/a\n", nil, refused.open()},
		{"Host with userinfo", "Host: a@proxy.test\n", nil, refused.open()},
		{"Host with a list", "Host: proxy.test, evil.test\n", nil, refused.open()},
		{"Host with NUL", "Host: proxy.test<NUL>\n", nil, refused},
		{"Host in a folded line", "Host:\n proxy.test\n", nil, fetched.or()},
	} {
		out = append(out, Case{Name: h.name, Send: "GET {path} HTTP/1.1\n" + h.fields + "{auth}\n", Kinds: h.kinds, Want: h.want})
	}
	inGet := Want{Sees: []string{"GET {path} {b}"}, Refused: true, Or: true, AnySide: true}
	return append(out,
		Case{Name: "absolute form with another Host", Kinds: legacy, Send: "GET http://other.test{path} HTTP/1.1\n{h}\n",
			Want: fetched.or().open().with("Host: other.test")},
		Case{Name: "a path of several segments for {rest...}", Kinds: []Kind{Mapped}, Send: "GET /renamed/{token}/a/b%20c HTTP/1.1\n{h}\n",
			Want: passed.seeing("GET /renamed/{token}/a/b%20c")},
		Case{Name: "an escaped slash for {rest...}", Kinds: []Kind{Mapped}, Send: "GET /renamed/{token}/a%2Fb/c HTTP/1.1\n{h}\n",
			Want: passed.seeing("GET /renamed/{token}/a%2Fb/c")},
		Case{Name: "HTTP/2's preface", Kinds: legacy, Send: "PRI * HTTP/2.0\n\nSM\n\n", Want: refused.silent(), Mark: "PRI "},
		Case{Name: "three requests in one write", Send: "GET {path} HTTP/1.1\n{h}\n" +
			"POST {path}2 HTTP/1.1\n{h}Content-Length: 7\n\n{b}" +
			"POST {path}3 HTTP/1.1\n{h}Transfer-Encoding: chunked\n\n{chunked}",
			Want: Want{Sees: []string{"GET {path}", "POST {path}2 {b}", "POST {path}3 {b}"}}},
		Case{Name: "a request byte by byte", Send: "<DRIP>POST {path} HTTP/1.1\n{h}Content-Length: 7\n\n{b}", Want: passed},
		Case{Name: "empty lines before a request", Send: "\n\nGET {path} HTTP/1.1\n{h}\n", Want: fetched.or()},
		Case{Name: "a request in a body of a GET", Send: "GET {path} HTTP/1.1\n{h}Content-Length: 7\n\n{b}", Want: inGet},
		Case{Name: "a request in chunks of a GET", Send: "GET {path} HTTP/1.1\n{h}Transfer-Encoding: chunked\n\n{chunked}", Want: inGet},
		Case{Name: "HTTP/1.0 with chunks", Send: "POST {path} HTTP/1.0\n{h}Transfer-Encoding: chunked\n\n{chunked}", Want: closed},
		Case{Name: "HTTP/1.0 with chunks, kept alive",
			Send: "POST {path} HTTP/1.0\n{h}Connection: keep-alive\nTransfer-Encoding: chunked\n\n{chunked}", Want: closed},
		Case{Name: "a line feed only at line ends", Send: "GET {path} HTTP/1.1<LF>Host: proxy.test<LF>{auth}<LF>",
			Want: fetched.or()},
	)
}
