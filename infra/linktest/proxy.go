package linktest

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
)

// Proxy is a link for a process that is started with an address: a loopback listener
// whose connections lead to one MongoDB server, without TLS. What becomes of a command is
// the link's choice. The server sees the client's own handshake, with its application
// name, and while a command is held back its connection stays open.
type Proxy struct {
	link     *Link
	server   string
	listener net.Listener
	wg       sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
}

// longest is the longest message that MongoDB accepts.
const longest = 48_000_000

// StartProxy listens on loopback and connects to the server at an address, over the
// link. Close it.
func (l *Link) StartProxy(server string) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for connections to MongoDB: %w", err)
	}
	p := &Proxy{link: l, server: server, listener: listener, conns: map[net.Conn]bool{}}
	p.wg.Go(p.accept)
	return p, nil
}

// Addr is where it listens, as host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close ends all connections that no late command waits on, and waits for them.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	p.mu.Lock()
	for c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
	p.mu.Unlock()
	p.wg.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		if p.conns == nil {
			_ = client.Close()
		} else {
			p.conns[client] = true
			p.wg.Go(func() { p.serve(client) })
		}
		p.mu.Unlock()
	}
}

func (p *Proxy) serve(client net.Conn) {
	defer func() {
		_ = client.Close()
		p.mu.Lock()
		delete(p.conns, client)
		p.mu.Unlock()
	}()
	dialed, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	server := &link{Conn: dialed, l: p.link, address: p.server}
	var answers sync.WaitGroup
	defer answers.Wait()
	answers.Go(func() {
		_, _ = io.Copy(client, server)
		_ = client.Close()
	})
	_ = forward(server, client)
	_ = client.Close()
	_ = server.Close()
}

// forward writes each message of a client by one call.
func forward(server io.Writer, client io.Reader) error {
	for {
		message := make([]byte, 4, 512)
		if _, err := io.ReadFull(client, message); err != nil {
			return err
		}
		size := binary.LittleEndian.Uint32(message)
		if size < 16 || size > longest {
			return fmt.Errorf("a message of %d bytes", size)
		}
		message = append(message, make([]byte, size-4)...)
		if _, err := io.ReadFull(client, message[4:]); err != nil {
			return err
		}
		if _, err := server.Write(message); err != nil {
			return err
		}
	}
}
