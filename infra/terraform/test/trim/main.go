// Command trim cuts a checkout of terraform-provider-aws down to the services
// named as its arguments, so that it builds in minutes and not in an hour. It is
// run in the checkout's root:
//
//	trim kinesis lambda dynamodb
//
// Two generated files name every service: the list of service packages, and the
// methods by which these get their clients. What nothing that is left uses goes.
//
// One thing of the rest is changed: how long it waits before it looks again whether
// something is made or gone. A stand-in is done at once, and AWS is not.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const (
	module   = "github.com/hashicorp/terraform-provider-aws"
	packages = "internal/provider/sdkv2/service_packages_gen.go"
	clients  = "internal/conns/awsclient_gen.go"
	waits    = "internal/backoff/backoff.go"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: trim service...")
		os.Exit(2)
	}
	if err := trim(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "trim:", err)
		os.Exit(1)
	}
}

func trim(services []string) error {
	if err := rewrite(packages, func(source string) (string, error) { return keepServices(source, services) }); err != nil {
		return err
	}
	used, err := usedClients()
	if err != nil {
		return err
	}
	if err := rewrite(clients, func(source string) (string, error) { return keepClients(source, used), nil }); err != nil {
		return err
	}
	return rewrite(waits, shorten)
}

func rewrite(file string, change func(string) (string, error)) error {
	source, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("not the root of the provider's checkout: %w", err)
	}
	changed, err := change(string(source))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, []byte(changed), 0o644)
}

var serviceImport = regexp.MustCompile(`(?m)^\t"` + regexp.QuoteMeta(module) + `/internal/service/(\w+)"\n`)

// keepServices drops the import and the call of every other service's package.
func keepServices(source string, services []string) (string, error) {
	known := map[string]bool{}
	for _, found := range serviceImport.FindAllStringSubmatch(source, -1) {
		line, name := found[0], found[1]
		known[name] = true
		if !slices.Contains(services, name) {
			source = strings.Replace(source, line, "", 1)
			source = strings.Replace(source, "\t\t"+name+".ServicePackage(ctx),\n", "", 1)
		}
	}
	for _, name := range services {
		if !known[name] {
			return "", fmt.Errorf("there is no service %q", name)
		}
	}
	return source, nil
}

var clientUse = regexp.MustCompile(`\b\w+Client\b`)

// usedClients are the names of methods that what is left may call.
func usedClients() (map[string]bool, error) {
	list := exec.Command("go", "list", "-mod=mod", "-deps", "-f", `{{if .Module}}{{if .Module.Main}}{{.Dir}}{{end}}{{end}}`, ".")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("list what the provider is made of: %w", err)
	}
	used := map[string]bool{}
	for dir := range strings.FieldsSeq(string(out)) {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			if strings.HasSuffix(file, clients) || strings.HasSuffix(file, "_test.go") {
				continue
			}
			source, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			for _, name := range clientUse.FindAll(source, -1) {
				used[string(bytes.Clone(name))] = true
			}
		}
	}
	return used, nil
}

var (
	clientMethod = regexp.MustCompile(`(?s)func \(c \*AWSClient\) (\w+)\(ctx context\.Context\) \*\w+\.Client \{.*?\n\}\n\n?`)
	sdkImport    = regexp.MustCompile(`(?m)^\t(\w+ )?"github\.com/aws/aws-sdk-go-v2/service/(\w+)"\n`)
)

// keepClients drops the methods that are not used, and then the imports.
func keepClients(source string, used map[string]bool) string {
	source = clientMethod.ReplaceAllStringFunc(source, func(method string) string {
		if used[clientMethod.FindStringSubmatch(method)[1]] {
			return method
		}
		return ""
	})
	return sdkImport.ReplaceAllStringFunc(source, func(line string) string {
		found := sdkImport.FindStringSubmatch(line)
		name := strings.TrimSpace(found[1])
		if name == "" {
			name = found[2]
		}
		if strings.Contains(source, "*"+name+".Client") {
			return line
		}
		return ""
	})
}

const (
	waiting = "func (d *sdkv2HelperRetryCompatibleDelay) Next(n uint) time.Duration {\n"
	shorter = "func (d *sdkv2HelperRetryCompatibleDelay) Next(n uint) time.Duration { return d.next(n) / 50 }\n\n" +
		"func (d *sdkv2HelperRetryCompatibleDelay) next(n uint) time.Duration {\n"
)

// shorten has the provider look fifty times as often. What it looks for, how
// many times it has to see it, and after how long it gives up stay as they are.
func shorten(source string) (string, error) {
	if strings.Count(source, waiting) != 1 {
		return "", errors.New("it does not wait as this program knows it")
	}
	return strings.Replace(source, waiting, shorter, 1), nil
}
