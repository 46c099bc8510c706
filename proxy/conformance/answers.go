package conformance

import "strings"

// answers is about what one answer becomes: RFC 9110, sections 8 and 15, and RFC 9112,
// sections 4, 6 and 7.
func answers() []Case {
	return append(append(soundAnswers(), heads()...), badAnswers()...)
}

const (
	get  = "GET {path} HTTP/1.1\n{h}\n"
	post = "POST {path} HTTP/1.1\n{h}Content-Length: 7\n\n{b}"

	ok       = "HTTP/1.1 200 OK\nContent-Type: application/json\n"
	sized    = "Content-Length: 22\n\n{json}"
	oneChunk = "Transfer-Encoding: chunked\n\n16\n{json}\n"
	bare     = "Content-Length: 0\n\n"
	plain    = ok + sized
)

func status(codes ...int) Want { return Want{Status: codes} }

func (w Want) body(text string) Want        { w.Body = text; return w }
func (w Want) having(fields ...string) Want { w.Has = fields; return w }

// lacking are fields that must not be in the answer.
func (w Want) lacking(fields ...string) Want { w.Not = fields; return w }

// orLegacy is for answers to a GET after which routes that forward ask the legacy side.
func (w Want) orLegacy() Want { w.Fallback = true; return w }

var unmapped = []Kind{Legacy, Forwarded, Split}

// answered is a case of an answer; what begins with a status is of HTTP/1.1.
func answered(name, send, answer string, want Want) Case {
	if answer[0] >= '0' && answer[0] <= '9' {
		answer = "HTTP/1.1 " + answer
	}
	return Case{Name: name, Send: send, Answer: answer, Want: want}
}

func served(name, send string, serve func(*exchange), want Want) Case {
	return Case{Name: name, Send: send, Serve: serve, Want: want}
}

func (c Case) on(kinds ...Kind) Case          { c.Kinds = kinds; return c }
func (c Case) unmapped() Case                 { return c.on(unmapped...) }
func (c Case) mapped(w Want) Case             { c.Mapped = &w; return c }
func (c Case) brief() Case                    { c.Brief = true; return c }
func (c Case) alone() Case                    { c.Alone = true; return c }
func (c Case) by(client func(c *client)) Case { c.Client = client; return c }

func soundAnswers() []Case {
	const (
		html     = "Content-Type: text/html\nContent-Length: 14\n\n<h1>Sorry</h1>"
		trailers = "GET {path} HTTP/1.1\n{h}TE: trailers\nConnection: TE\n\n"
		upgrade  = "GET {path} HTTP/1.1\n{h}Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 777\n" +
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n\n"
	)
	gone, sorry, same := status(200).body("-"), status(200).body("<h1>Sorry</h1>"), status(200).body("{json}")
	// What cannot be mapped is said as such, and never asked again of the legacy side.
	notMapped := status(200, 502)
	return []Case{
		answered("answer", get, plain, same),
		answered("200 that is empty", get, "200 OK\n"+bare, gone).mapped(Want{}),
		answered("200 that is empty, to a POST", post, "200 OK\n"+bare, gone).mapped(Want{}),
		answered("200 that is empty and says JSON", post, ok+bare, gone).mapped(Want{}),
		answered("200 that is empty, in chunks", post, ok+"Transfer-Encoding: chunked\n\n0\n\n", gone).mapped(Want{}),
		answered("201 that is empty", post, "201 Created\nLocation: /a/1\n"+bare, status(201).body("-").having("Location: /a/1")).
			mapped(status(201).having("Location: /a/1")),
		answered("202 that is empty", post, "202 Accepted\n"+bare, status(202).body("-")).mapped(status(202)),
		answered("204", post, "204 No Content\n\n", status(204).body("-")),
		answered("204 with odd fields", post, "204 No Content\nContent-Type: application/json\n"+bare, status(204).body("-")),
		answered("205", post, "205 Reset Content\n"+bare, status(205).body("-")),
		answered("206 that was not asked for", get, "206 Partial Content\nContent-Range: bytes 0-6/22\nContent-Length: 7\n\n{\"saw\":", status(206)).
			mapped(status(206, 502)),
		answered("301 with HTML", get, "301 Moved Permanently\nLocation: /b\n"+html, status(301).having("Location: /b")),
		answered("303 to a POST", post, "303 See Other\nLocation: /b\n"+bare, status(303).having("Location: /b")),
		answered("304", get, "304 Not Modified\nETag: \"a\"\n\n", status(304).body("-")),
		answered("304 with a length", get, "304 Not Modified\nETag: \"a\"\nContent-Length: 22\n\n", status(304).body("-")),
		answered("401", get, "401 Unauthorized\nWWW-Authenticate: Basic realm=\"a, b\"\n"+html, status(401).having(`WWW-Authenticate: Basic realm="a, b"`)),
		answered("404 in HTML", get, "404 Not Found\n"+html, status(404)),
		answered("404 in JSON", get, "404 Not Found\nContent-Type: application/problem+json\n"+sized, status(404).body("{json}")),
		answered("412 that the proxy did not cause", get, "412 Precondition Failed\n"+sized, status(412)),
		answered("429", post, "429 Too Many Requests\nRetry-After: 7\n"+bare, status(429).having("Retry-After: 7")),
		answered("500 in HTML, to a POST", post, "500 Internal Server Error\n"+html, status(500)),
		answered("500 in HTML, to a GET", get, "500 Internal Server Error\n"+html, status(500).orLegacy()),
		answered("503 in JSON, to a GET", get, "503 Service Unavailable\nRetry-After: 1\n"+sized, status(503).orLegacy()),
		answered("a status of an extension", get, "299 Fine\n"+sized, status(299)),
		answered("a status without a reason", get, "200\n"+sized, status(200)),
		answered("HTML instead of JSON", get, "200 OK\n"+html, sorry).mapped(notMapped),
		answered("HTML instead of JSON, to a POST", post, "200 OK\n"+html, sorry).mapped(Want{}),
		answered("null", get, ok+"Content-Length: 4\n\nnull", status(200).body("null")).mapped(Want{}),
		answered("a list", post, ok+"Content-Length: 2\n\n[]", status(200).body("[]")).mapped(Want{}),
		answered("JSON that ends early", post, ok+"Content-Length: 6\n\n{\"saw\"", status(200)).mapped(Want{}),
		answered("a coding that is unknown", post, ok+"Content-Encoding: zap\n"+sized, status(200).having("Content-Encoding: zap")).mapped(Want{}),
		answered("gzip that is none", post, ok+"Content-Encoding: gzip\n"+sized, status(200)).mapped(Want{}),
		answered("no Content-Type", get, "200 OK\nContent-Length: 14\n\n<h1>Hello</h1>", status(200).lacking("Content-Type")).unmapped(),
		answered("fields that repeat in an answer", get,
			ok+"Set-Cookie: a=1\nSet-Cookie: b=2\nX-Empty:\nServer: old\nDate: Mon, 21 Nov 2016 09:00:00 GMT\n"+sized,
			status(200).having("Set-Cookie: a=1", "Set-Cookie: b=2", "X-Empty: ", "Server: old", "Date: Mon, 21 Nov 2016 09:00:00 GMT")),
		answered("fields of one connection", get,
			ok+"Connection: keep-alive, X-Mine\nX-Mine: 1\nKeep-Alive: timeout=5\nProxy-Connection: keep-alive\n"+sized,
			status(200).lacking("X-Mine", "Keep-Alive: timeout=5", "Proxy-Connection")),
		answered("the position of a write", post, ok+"Banyan-Written: 1\n"+sized, status(200).lacking("Banyan-Written")),
		answered("Connection: close of the upstream", get, ok+"Connection: close\n"+sized+"<CLOSE>", same.lacking("Connection: close")),
		answered("chunks in an answer", get, ok+"Transfer-Encoding: chunked\n\n6\n{\"saw\"\n10\n:\"x\",\"side\":\"y\"}\n0\n\n", same),
		answered("chunk extensions in an answer", get, ok+"Transfer-Encoding: chunked\n\n16;a=b\n{json}\n0;c=\"d\"\n\n", same),
		answered("a trailer in an answer", trailers, ok+"Trailer: X-Late\n"+oneChunk+"0\nX-Late: 1\n\n",
			Want{Body: "{json}", Trailer: []string{"X-Late: 1"}}).unmapped(),
		answered("a trailer that was not announced", trailers, ok+oneChunk+"0\nX-Late: 1\n\n", Want{Body: "{json}"}).unmapped(),
		answered("a trailer that frames, in an answer", get, ok+oneChunk+"0\nContent-Length: 5\nSet-Cookie: a=b\n\n<CLOSE>",
			Want{Cut: true, Status: []int{200}, Not: []string{"Set-Cookie", "Content-Length: 5"}}).unmapped(),
		answered("an answer that ends with the connection", get, ok+"\n{json}<CLOSE>", same),
		answered("an answer in HTTP/1.0", get, "HTTP/1.0 200 OK\nContent-Type: application/json\n\n{json}<CLOSE>", same),
		answered("an answer in HTTP/1.0, kept alive", get, "HTTP/1.0 200 OK\nConnection: keep-alive\n"+sized, same),
		answered("chunks for a client of HTTP/1.0", "GET {path} HTTP/1.0\n{h}\n", ok+oneChunk+"0\n\n",
			Want{Body: "{json}", Not: []string{"Transfer-Encoding"}, Closes: true}),
		answered("100 that nobody asked for", get, "100 Continue\n\n"+plain, same),
		answered("102, three times", get, strings.Repeat("HTTP/1.1 102 Processing\n\n", 3)+plain, Want{Body: "{json}", Interim: []string{"102"}}),
		answered("103", get, "103 Early Hints\nLink: </a.css>; rel=preload\n\n"+plain, Want{Body: "{json}", Interim: []string{"103"}}),
		answered("an upgrade that is refused", upgrade, "426 Upgrade Required\nSec-WebSocket-Version: 13\n"+bare, status(426)),
		answered("an answer before the body", "POST {path} HTTP/1.1\n{h}Content-Length: 300000\n\n"+strings.Repeat(" ", 299_993)+"{b}",
			"<EARLY>HTTP/1.1 401 Unauthorized\n"+bare, status(401)),
		answered("a folded field in an answer", get, ok+"X-A: 1\n 2\n"+sized, notMapped).on(Legacy),
		answered("bare line feeds in an answer", get, "200 OK<LF>Content-Length: 22<LF><LF>{json}", notMapped).on(Legacy),
		answered("coding and length in an answer", get, ok+"Content-Length: 5\n"+oneChunk+"0\n\n<CLOSE>", notMapped.body("{json}")).on(Legacy),
		answered("a trailer with an invalid name, in an answer", get, ok+oneChunk+"0\nBad Name: 1\n\n<CLOSE>", Want{Cut: true, Status: []int{200}}).unmapped(),
	}
}

// heads are answers to HEAD, which are those to GET without the body, and bodies where none
// belongs, of which nothing may reach anybody.
func heads() []Case {
	const head, long = "HEAD {path} HTTP/1.1\n{h}\n", ok + "ETag: \"a\"\nContent-Length: 40\n\n"
	answer := func(x *exchange) { // a mapped route asks for the body, from which it knows its own head
		body := ""
		if x.method == "GET" {
			body = "{json}                  "
		}
		x.play(long + body)
	}
	none := status(200).body("-")
	const poison = "HTTP/1.1 200 OK\nContent-Length: 6\n\npoison"
	return []Case{
		served("HEAD", head, answer, none.having("Content-Length: 40", "ETag: \"a\"")).
			mapped(Want{Body: "-", Not: []string{"Content-Length: 40", "ETag: \"a\""}}),
		answered("HEAD with chunks", head, ok+"Transfer-Encoding: chunked\n\n", none).unmapped(),
		answered("HEAD without a length", head, ok+"\n", none).unmapped(),
		answered("HEAD with 304", head, "304 Not Modified\nContent-Length: 22\n\n", status(304).body("-")),
		answered("HEAD with a body", head, ok+"Content-Length: 40\n\n"+poison, none).unmapped().alone(),
		answered("an answer that is longer than its length", get, plain+poison, status(200).body("{json}")).alone(),
		answered("a body with 204", post, "204 No Content\nContent-Length: 6\n\npoison", status(204, 502).body("-")).alone(),
	}
}

// badAnswers are none: a client of a write is told so, and one of a read gets the answer
// of the legacy side.
func badAnswers() (out []Case) {
	failed, cut := status(502), Want{Cut: true}
	for _, a := range []struct {
		name, answer string
		want         Want
	}{
		{"no answer", "<CLOSE>", failed},
		{"a reset", "<RESET>", failed},
		{"a head that is cut", "200 OK\nContent-Le<CLOSE>", failed},
		{"a banner of another protocol", "SSH-2.0-OpenSSH_9.2\n<CLOSE>", failed},
		{"HTML without a head", "<h1>Hello</h1>\n<CLOSE>", failed},
		{"a version that is unknown", "HTTP/3.7 200 OK\n" + sized, failed},
		{"a status of two digits", "20 OK\n" + sized, failed},
		{"a status of four digits", "2000 OK\n" + sized, failed},
		{"a status that is no number", "HTTP/1.1 abc OK\n" + sized, failed},
		{"a status below 100", "099 OK\n" + sized, failed},
		{"101 that was not asked for", "101 Switching Protocols\nConnection: Upgrade\nUpgrade: websocket\n\n<HANG>", failed},
		{"two lengths", ok + "Content-Length: 22\nContent-Length: 5\n\n{json}", failed},
		{"a length with a sign", ok + "Content-Length: +22\n\n{json}", failed},
		{"a length below zero", ok + "Content-Length: -22\n\n{json}", failed},
		{"a length over 64 bits", ok + "Content-Length: 99999999999999999999999\n\n{json}", failed},
		{"a coding besides chunked", ok + "Transfer-Encoding: gzip, chunked\n\n16\n{json}\n0\n\n", failed},
		{"a coding instead of chunked", ok + "Transfer-Encoding: cow\n\n{json}<CLOSE>", failed},
		{"a name with a space", ok + "X A: 1\n" + sized, failed},
		{"a field of the upstream without a colon", ok + "X-A\n" + sized, failed},
		{"a value with NUL", ok + "X-A: 1<NUL>2\n" + sized, failed},
		{"a value with a bare CR", ok + "X-A: 1<CR>X-B: 2\n" + sized, failed},
		{"a head of 256 KB", ok + "X-A: " + strings.Repeat("a", 256<<10) + "\n" + sized, failed},
		{"interim answers of 256 KB", strings.Repeat("HTTP/1.1 102 Processing\nX-A: "+strings.Repeat("a", 1<<10)+"\n\n", 300) + plain, failed},
		{"a body that is cut", ok + "Content-Length: 22\n\n{\"saw<CLOSE>", cut},
		{"a body that is reset", ok + "Content-Length: 22\n\n{\"saw<RESET>", cut},
		{"chunks that are cut", ok + oneChunk + "<CLOSE>", cut},
		{"a chunk that is cut", ok + "Transfer-Encoding: chunked\n\n16\n{\"saw<CLOSE>", cut},
		{"a chunk size with garbage, in an answer", ok + oneChunk + "xyz\n{json}\n0\n\n<CLOSE>", cut},
		{"a chunk size over 64 bits, in an answer", ok + "Transfer-Encoding: chunked\n\nFFFFFFFFFFFFFFFFF\n{json}\n0\n\n<CLOSE>", cut},
		{"a chunk that is longer than its size, in an answer", ok + "Transfer-Encoding: chunked\n\n15\n{json}\n0\n\n<CLOSE>", cut},
	} {
		onGet := a.want.orLegacy()
		onGet.Again = true
		out = append(out, answered(a.name+", to a POST", post, a.answer, a.want), answered(a.name+", to a GET", get, a.answer, onGet))
	}
	return out
}
