// Command front stands in front of moto and adds what the AWS provider needs and
// moto does not have: the tags of what Application Auto Scaling scales, CloudWatch in
// CBOR, the alias of an event source mapping, and whether a function may invoke
// itself. It serves on a free port of the loopback until it is killed:
//
//	front http://127.0.0.1:5005 file
//
// and writes its own address into the file once it serves.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: front url file")
		os.Exit(2)
	}
	if err := serve(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "front:", err)
		os.Exit(1)
	}
}

func serve(behind, file string) error {
	target, err := url.Parse(behind)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, []byte("http://"+listener.Addr().String()), 0o600); err != nil {
		return err
	}
	f := front{behind: behind, tags: map[string]map[string]string{}, functions: map[string]string{}, recursive: map[string]string{}}
	f.proxy = &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host },
		ModifyResponse: f.remember,
	}
	server := http.Server{Handler: &f, ReadHeaderTimeout: 10 * time.Second}
	return server.Serve(listener)
}

type front struct {
	behind    string
	proxy     *httputil.ReverseProxy
	mu        sync.Mutex
	tags      map[string]map[string]string // of scalable targets, by their ARN
	functions map[string]string            // of mappings, by their id
	recursive map[string]string            // by the function's name
}

// request is what is needed of the requests about scalable targets.
type request struct {
	ResourceARN string
	Tags        map[string]string
	TagKeys     []string
}

const service = "AnyScaleFrontendService."

// bucketTags is where S3 Control keeps the tags of buckets, which moto has in S3 only: the provider
// asks there when it is refused. The host of these requests is the account's, so they come by a proxy.
const bucketTags = "/v20180820/tags/"

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if operation, in := strings.CutPrefix(r.URL.Path, graniteOperations); in {
		f.translate(w, r, operation)
		return
	}
	if strings.HasPrefix(r.URL.Path, bucketTags) {
		w.WriteHeader(http.StatusMethodNotAllowed)
		_, _ = io.WriteString(w, `<ErrorResponse><Error><Code>MethodNotAllowed</Code><Message>ask S3</Message></Error></ErrorResponse>`)
		return
	}
	if strings.HasPrefix(r.URL.Path, mappings) {
		f.keepAlias(w, r)
		return
	}
	if strings.HasPrefix(r.URL.Path, recursion) && strings.HasSuffix(r.URL.Path, "/recursion-config") {
		f.loops(w, r)
		return
	}
	operation, ours := strings.CutPrefix(r.Header.Get("X-Amz-Target"), service)
	if !ours {
		f.proxy.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var in request
	_ = json.Unmarshal(body, &in) // moto says what is wrong with it
	switch operation {
	case "ListTagsForResource", "TagResource", "UntagResource":
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_ = json.NewEncoder(w).Encode(f.change(operation, in))
	default:
		f.proxy.ServeHTTP(w, r.WithContext(withTags(r.Context(), in.Tags)))
	}
}

func (f *front) change(operation string, in request) any {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.tags[in.ResourceARN]
	if all == nil {
		all = map[string]string{}
		f.tags[in.ResourceARN] = all
	}
	for name, value := range in.Tags {
		all[name] = value
	}
	for _, name := range in.TagKeys {
		delete(all, name)
	}
	if operation != "ListTagsForResource" {
		return struct{}{}
	}
	return map[string]any{"Tags": all}
}
