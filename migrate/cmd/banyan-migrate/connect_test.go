package main

import (
	"context"
	"encoding/binary"
	"net"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo/readpref"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb"
)

// serveSRV answers queries for SRV records (RFC 2782) with one target, and all others with
// nothing.
func serveSRV(t *testing.T, target string) (address string) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		query := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(query)
			if err != nil {
				return
			}
			end := 12
			for end < n && query[end] != 0 {
				end += int(query[end]) + 1
			}
			end += 5 // the root, type and class
			if end > n {
				continue
			}
			answer := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, query[12:end]...)
			if binary.BigEndian.Uint16(query[end-4:]) == 33 {
				data := []byte{0, 0, 0, 0, 0x69, 0x89} // priority, weight, port 27017
				for label := range strings.SplitSeq(target, ".") {
					data = append(append(data, byte(len(label))), label...)
				}
				data = append(data, 0)
				answer[7] = 1
				answer = append(answer, 0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60, 0, byte(len(data)))
				answer = append(answer, data...)
			}
			_, _ = conn.WriteTo(answer, from)
		}
	}()
	return conn.LocalAddr().String()
}

// One server of a deployment that is named by a mongodb+srv URI, as hosted ones are.
func TestDialOneServerOfAnSRVURI(t *testing.T) {
	server, err := mongodb.Start(mongodb.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	names, before := serveSRV(t, "one.cluster.example.test"), net.DefaultResolver
	defer func() { net.DefaultResolver = before }()
	net.DefaultResolver = resolver(names)
	client, err := dialMongo("mongodb+srv://cluster.example.test/?tls=false&readPreference=secondary", "banyan-migrate look", server.Addr(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Disconnect(t.Context()) }()
	if err := client.Ping(t.Context(), readpref.Primary()); err != nil {
		t.Error(err)
	}
}

func resolver(address string) *net.Resolver {
	dialer := net.Dialer{Timeout: time.Second}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "udp", address)
	}}
}
