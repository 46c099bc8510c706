package linktest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Refusing is an address that refuses connections until the test ends: a connection has
// it, so that nobody can listen there.
func Refusing(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.LocalAddr().String()
}

// Free is an address for a program that cannot be told to take any and say which: of a
// port that systems give to nobody who asks for any, so that no other test gets it meanwhile.
func Free() (string, error) {
	for attempt := 0; ; attempt++ {
		address := fmt.Sprint("127.0.0.1:", 20_000+rand.IntN(12_000))
		l, err := net.Listen("tcp", address)
		if err == nil {
			return address, l.Close()
		}
		if attempt == 100 {
			return "", err
		}
	}
}
