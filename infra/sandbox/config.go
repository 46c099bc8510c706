package sandbox

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/banyan-fig/banyan/infra/sandbox/fault"
)

// Config of a sandbox. The zero value works.
type Config struct {
	// Addr is where the AWS services listen, MongoAddr where MongoDB does;
	// loopback only. "" means 127.0.0.1 and a free port.
	Addr, MongoAddr string
	// Environ is the user's environment, which decides what is embedded; nil
	// means os.Environ().
	Environ []string
	// Faults is the plan to start with; the zero value injects nothing.
	Faults fault.Plan
	// Seed decides which calls the plan hits.
	Seed uint64
	// Unlimited lifts the rates of Kinesis shards, for benchmarks.
	Unlimited bool
	// FunctionLog gets what Lambda functions print; nil keeps it in the host.
	FunctionLog io.Writer
	// Dir is where the code of functions is unpacked, in a folder of its own
	// that Close removes; "" means the system's folder for temporary files.
	Dir string
}

// Validate reports the first field that makes no sense.
func (c Config) Validate() error {
	for _, addr := range []string{c.Addr, c.MongoAddr} {
		if err := loopback(addr); err != nil {
			return err
		}
	}
	for _, r := range c.Faults.Rules {
		if r.Service != fault.Any && r.Service != MongoDB && serviceURLs[r.Service] == "" {
			return fmt.Errorf("sandbox: the fault plan is about %q, which would never be hit: use %s or %s",
				r.Service, strings.Join(Services(), ", "), fault.Any)
		}
	}
	return c.Faults.Validate()
}

func loopback(addr string) error {
	if addr == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("sandbox: address %q: %w", addr, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("sandbox: %q is no loopback address: there is no authentication, so it listens on loopback only", host)
	}
	return nil
}

func (c Config) withDefaults() Config {
	c.Addr = cmp.Or(c.Addr, "127.0.0.1:0")
	c.MongoAddr = cmp.Or(c.MongoAddr, "127.0.0.1:0")
	if c.Environ == nil {
		c.Environ = os.Environ()
	}
	return c
}
