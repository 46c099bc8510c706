package conformance

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// handshake asks for a web socket.
const handshake = "GET {path} HTTP/1.1\n{h}Connection: keep-alive, Upgrade\nUpgrade: websocket\n" +
	"Sec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n\n"

const switching = "HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: websocket\n" +
	"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\n\n"

// streams is about what happens in time: what flows while it flows, what ends, and what
// is sent again.
func streams() []Case {
	hang, left := status(504).orLegacy(), Want{Cut: true}
	never := Want{Status: []int{504}, Cut: true, Fallback: true}
	upload := func(length int, body string) string {
		return fmt.Sprintf("POST {path} HTTP/1.1\n{h}Content-Length: %d\n\n%s", length, body)
	}
	blank := strings.Repeat(" ", 100_000)
	return slices.Concat([]Case{
		answered("an upstream that never answers, to a POST", post, "<HANG>", status(504)).brief(),
		answered("an upstream that never answers, to a GET", get, "<HANG>", hang).brief(),
		answered("a head that never ends", get, "200 OK\nX-A: <HANG>", hang).brief(),
		answered("interim answers, and then nothing", get, "102 Processing\n\n<HANG>", hang).brief(),
		answered("a body that never ends", get, ok+"Content-Length: 22\n\n{\"saw<HANG>", never).brief(),
		served("a mapped body that drips for ever", get, dripForEver, never).on(Mapped).brief(),
		served("a stream that is longer than the time limit (krakend#924)", get, streamSlowly,
			Want{Body: strings.Repeat("data: x\n\n", 30)}).unmapped().brief(),
		served("an upload that is longer than the time limit", upload(100_007, blank+"{b}"), nil, Want{}).by(uploadSlowly).unmapped().brief(),
		served("a web socket that is longer than the time limit (hysteria#1676)", handshake, socket, status(101)).by(talk(30, 20)).unmapped().brief(),
		served("a client that never reads", get, flood, left).by(neverRead).unmapped().brief(),
		served("an upstream that never reads", upload(1_000_000_000, ""), neverReceive, Want{Cut: true, Status: []int{504}}).
			by(uploadForEver).unmapped().brief(),

		served("events one by one", get, events("Transfer-Encoding: chunked", chunk, "0\n\n"), Want{}).by(readEvents).unmapped(),
		served("parts of a body with a length, one by one", get,
			events("Content-Length: 27", func(s string) string { return s }, ""), Want{}).by(readEvents).unmapped(),
		served("a web socket", handshake, socket, status(101).having("Upgrade: websocket", "Connection")).by(talk(3, 0)).unmapped(),
		answered("a web socket whose upstream speaks first", handshake, switching+"hello<HANG>", status(101)).by(hear("hello")).unmapped(),
		served("a web socket whose client speaks at once", handshake+"ping", socket, status(101)).by(hear("ping")).unmapped(),
		answered("a web socket that the upstream ends", handshake, switching+"bye<CLOSE>", status(101)).by(hearLast("bye")).unmapped(),
		served("a web socket that the client ends", handshake, release(switching+"hello"), left).by(leave("hello")).unmapped(),
		answered("101 to another protocol", handshake, strings.Replace(switching, "websocket", "h2c", 1)+"<HANG>", status(502)).on(Legacy),
		answered("Expect that the upstream refuses", "POST {path} HTTP/1.1\n{h}Expect: 100-continue\nContent-Length: 7\n\n",
			"<EARLY>HTTP/1.1 417 Expectation Failed\nConnection: close\n"+bare+"<CLOSE>", status(417)).by(expectant).unmapped(),
		served("Expect that the upstream grants", "POST {path} HTTP/1.1\n{h}Expect: 100-continue\nContent-Length: 7\n\n<WAIT>{b}", grant,
			Want{Interim: []string{"100"}}),
		served("a client that leaves during its upload", upload(300_000, blank), nil, refused.silent()).
			by(func(c *client) { c.send(c.kase.Send) }),
		answered("a reset during an upload", upload(1_000_000, strings.Repeat(blank, 10)), "<EARLY><RESET>", status(502)).unmapped(),
		answered("a reset during an upload whose client pauses", upload(1_000_000, blank), "<EARLY><RESET>", status(502)).unmapped(),
		served("an answer during an upload", upload(4_000_000, strings.Repeat("a", 300_000)), refuseEarly, status(413)).by(once).unmapped(),
		served("a client that leaves before the answer", post, release(""), left).by(leave("")),
		served("a client that leaves during the answer", get, release(ok+"Transfer-Encoding: chunked\n\n5\n{\"saw\n"), left).
			by(leave("5\r\n{\"saw")).unmapped(),
		served("a connection that closes while idle, then a POST", get, closeIdle, passed.seeing("GET {path}", "POST {path} {b}")).
			by(postAfterClose).alone(),
		served("an answer to nobody on an idle connection", get, poison("HTTP/1.1 200 OK\nContent-Length: 6\n\npoison"), status(200)).
			by(onPoison).alone(),
		served("408 on an idle connection", get, poison("HTTP/1.1 408 Request Timeout\nConnection: close\n"+bare), status(200)).
			by(onPoison).alone(),
	}, repeats(), large())
}

// repeats are requests that an upstream read and did not answer: what may have had its
// effect is not sent again, whatever net/http thinks of Idempotency-Key.
func repeats() (out []Case) {
	for _, method := range []string{"POST", "DELETE", "PUT", "PATCH"} {
		send := method + " {path} HTTP/1.1\n{h}Idempotency-Key: a\n"
		if method != "DELETE" {
			send += "Content-Length: 0\n"
		}
		c := answered(method+" with Idempotency-Key and no answer", send+"\n", "<CLOSE>", status(502)).by(afterAnother)
		if method == "POST" {
			c = c.unmapped()
		}
		out = append(out, c)
	}
	return out
}

var big = strings.Repeat("0123456789abcdef", 3<<15) // 1.5 MB

// large are bodies that no buffer holds.
func large() []Case {
	text, json := `{"saw":"`+big+`","side":"y"}`, `{"saw":"x","side":"y"}`
	const large = `{"saw":"{1536K}","side":"y"}`
	sent := func(name, fields, body string, want Want) Case {
		length := len(body)
		for size, bytes := range map[string]int{"{512K}": 1 << 19, "{1536K}": len(big)} {
			length += strings.Count(body, size) * (bytes - len(size))
		}
		return Case{Name: name, Want: want, Send: fmt.Sprintf("POST {path} HTTP/1.1\n{h}%sContent-Length: %d\n\n%s", fields, length, body)}
	}
	zipped := ok + "Content-Encoding: gzip\n"
	return []Case{
		served("an answer of 1.5 MB", get, sends(ok, text), Want{Body: text}).unmapped(),
		served("an answer of 1.5 MB that cannot be mapped", get, sends(ok, text), status(200, 502)).on(Mapped),
		served("an answer of 1.5 MB that cannot be mapped, to a POST", post, sends(ok, text), Want{}).on(Mapped),
		sent("a request of 512 KB", "", `{"a":"{512K}"}`, passed.seeing(`POST {path} {"a":"{512K}"}`)),
		Case{Name: "a request of 1.5 MB in chunks", Want: passed.seeing("POST {path} " + large),
			Send: fmt.Sprintf("POST {path} HTTP/1.1\n{h}Transfer-Encoding: chunked\n\n%x\n%s\n0\n\n", len(text), large)}.unmapped(),
		sent("a request of 1.5 MB that cannot be mapped", "", large, refused.open()).on(Mapped),
		sent("a request that is no JSON", "Content-Type: application/json\n", `{"a":1]`, refused.open()).on(Mapped),
		Case{Name: "a POST to an upstream that is down", Send: "POST /gone/{token}/x HTTP/1.1\n{h}Content-Length: 7\n\n{b}",
			Want: Want{Sees: []string{}, Status: []int{502}}}.on(Mapped),
		Case{Name: "a GET to an upstream that is down", Send: "GET /gone/{token}/x HTTP/1.1\n{h}\n", Want: Want{AnySide: true}}.on(Mapped),
		served("gzip that nobody asked for (KrakenD#604)", get, sends(zipped, gzipped(json)), Want{Body: json}),
		served("gzip that the client asked for (KrakenD#604)", "GET {path} HTTP/1.1\n{h}Accept-Encoding: gzip\n\n", sends(zipped, gzipped(json)),
			Want{Body: json}),
		served("gzip, to a POST", post, sends(zipped+"Vary: Accept-Encoding\n", gzipped(json)), Want{Body: json}),
		served("gzip of an error", post, sends("HTTP/1.1 404 Not Found\nContent-Type: application/json\nContent-Encoding: gzip\n", gzipped(json)),
			status(404).body(json)),
	}
}

// sends answers with bytes that are not for expand.
func sends(head, body string) func(*exchange) {
	return func(x *exchange) {
		if x.receive() {
			x.write(x.run.expand(head+"Content-Length: "+strconv.Itoa(len(body))+"\n\n") + body)
		}
	}
}

func chunk(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }

// streamSlowly takes one and a half of the time limit.
func streamSlowly(x *exchange) {
	x.receive()
	x.write(x.run.expand("HTTP/1.1 200 OK\nContent-Type: text/event-stream\nTransfer-Encoding: chunked\n\n"))
	for range 30 {
		x.write(chunk("data: x\n\n"))
		time.Sleep(x.run.limit / 20)
	}
	x.write("0\r\n\r\n")
}

func dripForEver(x *exchange) {
	x.receive()
	x.write(x.run.expand(ok + "Content-Length: 1000000\n\n"))
	x.writeUntilClosed(" ", 20*time.Millisecond)
}

// flood answers without an end.
func flood(x *exchange) {
	x.receive()
	x.write(x.run.expand(ok + "Content-Length: 10000000000\n\n"))
	x.writeUntilClosed(strings.Repeat("a", 1<<16), 0)
	x.run.step()
}

func (x *exchange) writeUntilClosed(s string, pause time.Duration) {
	x.ended = true
	_ = x.conn.SetWriteDeadline(time.Now().Add(x.run.budget))
	for end := time.Now().Add(x.run.budget); time.Now().Before(end); time.Sleep(pause) {
		if _, err := io.WriteString(x.conn, s); err != nil && !isTimeout(err) {
			return
		} else if err != nil {
			break
		}
	}
	x.run.fail("the upstream was not released within %v", x.run.budget)
}

// step lets the other side of a case go on, once that has come to awaitStep. It reports whether
// that came, before the client's end and within the case's budget.
func (r *run) step() bool {
	select {
	case r.steps <- struct{}{}:
		return true
	case <-r.ctx.Done():
		return r.isAlone()
	}
}

func (r *run) awaitStep() bool {
	select {
	case <-r.steps:
		return true
	case <-r.ctx.Done():
		return r.isAlone()
	}
}

func (r *run) isAlone() bool {
	r.fail("one side of the case waited for the other in vain: %v", context.Cause(r.ctx))
	return false
}

// events sends the next part when the client has the one before.
func events(framing string, part func(string) string, end string) func(*exchange) {
	return func(x *exchange) {
		x.receive()
		x.write(x.run.expand("HTTP/1.1 200 OK\nContent-Type: text/event-stream\n" + framing + "\n\n"))
		for range 3 {
			if x.write(part("data: x\n\n")); !x.run.awaitStep() {
				return
			}
		}
		x.write(x.run.expand(end))
	}
}

func socket(x *exchange) {
	if x.receive(); !x.hasToken("Upgrade", "websocket") || !x.hasToken("Connection", "Upgrade") {
		x.run.fail("the upstream was not asked for a web socket")
	}
	x.write(x.run.expand(switching))
	_, _ = io.Copy(x.conn, x.in)
	x.ended = true
}

// grant asks for the body.
func grant(x *exchange) {
	x.write("HTTP/1.1 100 Continue\r\n\r\n")
	echo(x)
}

// refuseEarly answers before the body has come, and does not want it.
func refuseEarly(x *exchange) {
	x.write(x.run.expand("HTTP/1.1 413 Content Too Large\nConnection: close\nContent-Length: 0\n\n"))
	x.awaitEnd(0)
}

func neverReceive(x *exchange) {
	x.ended = true
	x.run.awaitStep()
}

// release answers in part and wants to be released when the client is gone.
func release(part string) func(*exchange) {
	return func(x *exchange) {
		x.receive()
		x.write(x.run.expand(part))
		x.run.step()
		if !x.awaitEnd(x.run.budget) {
			x.run.fail("the upstream was not released within %v", x.run.budget)
		}
		x.run.step()
	}
}

func closeIdle(x *exchange) {
	if x.method == "POST" {
		echo(x)
		return
	}
	x.play(plain + "<CLOSE>")
	x.conn.Close()
	x.run.step()
}

// poison answers, and once the client has that, once more.
func poison(answer string) func(*exchange) {
	return func(x *exchange) {
		x.play(plain)
		x.run.awaitStep()
		x.write(x.run.expand(answer))
		x.ended = strings.Contains(answer, "close")
		x.run.step()
	}
}
