package conformance

import (
	"io"
	"strings"
	"time"
)

// readOne reads one answer to what the case sends.
func (c *client) readOne() *message {
	method, _, _ := strings.Cut(c.kase.Send, " ")
	m, err := c.read(method)
	if err != nil {
		c.end = err
		return &message{}
	}
	c.answers = append(c.answers, m)
	return m
}

// once sends the request and reads one answer.
func once(c *client) {
	c.send(c.kase.Send)
	c.readOne()
}

// afterAnother does so on a connection that was used, which the target has to its upstream, too.
func afterAnother(c *client) {
	c.send(canaryRequest)
	if _, err := c.read("GET"); err != nil {
		c.fail("the request before: %v", err)
	}
	once(c)
}

// expectant sends the body only if it is asked to.
func expectant(c *client) {
	c.onContinue = func() { c.send("{b}") }
	once(c)
}

// uploadSlowly takes more than the time limit for its last bytes.
func uploadSlowly(c *client) {
	head, _, _ := strings.Cut(c.kase.Send, "{b}")
	c.send(head)
	for _, b := range c.expand("{b}") {
		time.Sleep(c.limit / 5)
		c.send(string(b))
	}
	c.readOne()
}

func uploadForEver(c *client) {
	c.send(c.kase.Send)
	c.writers.Go(func() {
		for block := make([]byte, 1<<16); ; {
			if _, err := c.conn.Write(block); err != nil {
				return
			}
		}
	})
	c.readOne()
	c.step()
}

func neverRead(c *client) {
	_ = c.conn.SetReadBuffer(4 << 10)
	c.send(c.kase.Send)
	c.awaitStep()
}

func readEvents(c *client) {
	c.send(c.kase.Send)
	m, err := readHead(c.in)
	if err != nil {
		c.end = err
		return
	}
	c.answers = append(c.answers, m)
	body, err := m.bodyReader(c.in, true)
	for event := make([]byte, len("data: x\n\n")); err == nil; {
		n, failed := io.ReadFull(body, event)
		m.body = append(m.body, event[:n]...)
		if err = failed; err == nil && string(event) != "data: x\n\n" {
			c.fail("not the answer that the upstream gives in parts")
			return
		}
		if err == nil && !c.step() {
			return
		}
	}
	if m.whole = err == io.EOF; !m.whole {
		c.end = err
	}
}

// talk sends on a web socket and hears the same, as often as said, with pauses of a part of
// the time limit, or none.
func talk(times, part int) func(*client) {
	return func(c *client) {
		once(c)
		for range times {
			c.send("ping")
			if !c.hear("ping") {
				return
			}
			if part > 0 {
				time.Sleep(c.limit / time.Duration(part))
			}
		}
	}
}

func hear(text string) func(*client) {
	return func(c *client) {
		once(c)
		c.hear(text)
	}
}

// hearLast is hear, and then the end.
func hearLast(text string) func(*client) {
	return func(c *client) {
		once(c)
		c.hear(text)
		if n, err := io.Copy(io.Discard, c.in); n > 0 || isTimeout(err) {
			c.fail("the web socket did not end: %d bytes more, %v", n, err)
		}
	}
}

func (c *client) hear(text string) bool {
	heard := make([]byte, len(text))
	if _, err := io.ReadFull(c.in, heard); err != nil || string(heard) != text {
		c.fail("heard %q on the web socket, want %q: %v", heard, text, err)
		return false
	}
	return true
}

// leave closes the connection when the upstream has come so far, and so much of its answer
// is here.
func leave(part string) func(*client) {
	return func(c *client) {
		c.send(c.kase.Send)
		c.awaitStep()
		if part != "" {
			if _, err := readHead(c.in); err != nil || !c.hear(part) {
				c.fail("the first part of the answer did not come: %v", err)
			}
		}
		c.conn.Close()
		c.awaitStep()
	}
}

func postAfterClose(c *client) {
	once(c)
	c.awaitStep()
	c.send(post)
	c.readOne()
}

func onPoison(c *client) {
	once(c)
	c.step()
	c.awaitStep()
	for range 3 {
		c.send(canaryRequest)
		if m, err := c.read("GET"); err != nil || !c.isCanary(m) {
			c.fail("the next request got %q %q: %v", m.start, m.body, err)
			return
		}
	}
}
