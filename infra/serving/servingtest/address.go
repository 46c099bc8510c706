package servingtest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Address returns a loopback address for a server in a process of its own, which may be
// started there again. Nothing listens there, and nobody gets the port meanwhile by chance: the
// host is one of 127.0.0.0/8, where clients have no ports. On systems that have no other
// loopback address than 127.0.0.1 it is that.
func Address(t testing.TB) string {
	t.Helper()
	host := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(255), 1+rand.IntN(254))
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
