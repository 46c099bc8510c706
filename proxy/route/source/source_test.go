package source_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/s3test"
	"github.com/banyan-fig/banyan/infra/sandbox/settings"
	"github.com/banyan-fig/banyan/proxy/route/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store is a source that changes on a condition.
type store interface {
	Read(ctx context.Context, last *source.Document) (*source.Document, error)
	Write(ctx context.Context, last *source.Document, content []byte) (*source.Document, error)
	History(ctx context.Context) ([]source.Version, error)
	Version(ctx context.Context, id string) ([]byte, error)
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "routes.yaml")
	testStore(t, source.NewFile(path), func() error { return os.Remove(path) })
}

func TestS3(t *testing.T)     { testS3(t, s3test.Start(t, nil)) }
func TestPeerS3(t *testing.T) { testS3(t, s3test.Peer(t)) }

func testS3(t *testing.T, client *s3.Client) {
	bucket, key := s3test.Bucket(t, client), "a/routes.yaml"
	longer := source.NewS3(client, bucket, key+".bak") // is no version of it
	if _, err := longer.Write(t.Context(), nil, []byte("x")); err != nil {
		t.Fatal(err)
	}
	testStore(t, source.NewS3(client, bucket, key), func() error {
		_, err := client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &bucket, Key: &key})
		return err
	})
	if _, err := source.NewS3(client, "bucket-"+uuid.NewString(), key).Read(t.Context(), nil); err == nil || errors.Is(err, source.ErrNotFound) {
		t.Errorf("a missing bucket: %v", err)
	}
}

func testStore(t *testing.T, s store, remove func() error) {
	ctx := t.Context()
	must := func(doc *source.Document, err error) *source.Document {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	refused := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	_, err := s.Read(ctx, nil)
	refused("read of nothing", err, source.ErrNotFound)
	one := must(s.Write(ctx, nil, []byte("one")))
	_, err = s.Write(ctx, nil, []byte("x"))
	refused("a second first one", err, source.ErrConflict)
	if again := must(s.Read(ctx, one)); again != one {
		t.Error("what did not change was read anew")
	}
	two := must(s.Write(ctx, one, []byte("two")))
	_, err = s.Write(ctx, one, []byte("x"))
	refused("a change of what stands no more", err, source.ErrConflict)
	if got := must(s.Read(ctx, nil)); string(got.Content) != "two" {
		t.Errorf("%q stands", got.Content)
	}
	history, err := s.History(ctx)
	if err != nil || len(history) != 2 || !history[0].Current || history[1].Current || history[1].Bytes != 3 || history[1].At.IsZero() {
		t.Fatalf("history: %+v, %v", history, err)
	}
	if old, err := s.Version(ctx, history[1].ID); err != nil || string(old) != "one" {
		t.Errorf("the version before: %q, %v", old, err)
	}
	_, err = s.Version(ctx, "../routes")
	refused("an unknown version", err, source.ErrNotFound)

	var won atomic.Int64
	var writers sync.WaitGroup
	for i := range 8 {
		writers.Go(func() {
			switch _, err := s.Write(ctx, two, fmt.Append(nil, "writer ", i)); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, source.ErrConflict):
				t.Error(err)
			}
		})
	}
	writers.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of 8 changes of one document took effect", won.Load())
	}
	stands := must(s.Read(ctx, nil))
	if err := remove(); err != nil {
		t.Fatal(err)
	}
	_, err = s.Read(ctx, stands)
	refused("read of what was removed", err, source.ErrNotFound)
	_, err = s.Write(ctx, stands, []byte("x"))
	refused("a change of what was removed", err, source.ErrConflict)
	must(s.Write(ctx, nil, []byte("three")))
}

// TestFileHistoryIsBounded: the oldest go, what was changed by hand is kept when it is replaced,
// mode and link stay.
func TestFileHistoryIsBounded(t *testing.T) {
	dir := t.TempDir()
	real, path := filepath.Join(dir, "real.yaml"), filepath.Join(dir, "routes.yaml")
	if err := errors.Join(os.WriteFile(real, []byte("by hand"), 0o640), os.Symlink("real.yaml", path)); err != nil {
		t.Fatal(err)
	}
	f := source.NewFile(path)
	doc, err := f.Read(t.Context(), nil)
	for i := 0; i < 60 && err == nil; i++ {
		if doc, err = f.Write(t.Context(), doc, fmt.Append(nil, i)); i == 0 {
			if history, _ := f.History(t.Context()); len(history) != 2 {
				t.Errorf("what was there by hand is lost: %+v", history)
			}
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	history, err := f.History(t.Context())
	if err != nil || len(history) != 50 {
		t.Errorf("%d versions, %v", len(history), err)
	}
	if oldest, err := f.Version(t.Context(), history[49].ID); err != nil || string(oldest) != "10" {
		t.Errorf("the oldest: %q, %v", oldest, err)
	}
	link, err := os.Readlink(path)
	info, err2 := os.Stat(real)
	if err != nil || err2 != nil || link != "real.yaml" || info.Mode().Perm() != 0o640 {
		t.Errorf("link %q %v, mode %v %v", link, err, info.Mode(), err2)
	}
}

// TestS3KnowsItsOwnWrite: the answer to a write is lost, and the client sends it again, which
// the condition refuses. A look that finds nothing new gets no body.
func TestS3KnowsItsOwnWrite(t *testing.T) {
	var lose atomic.Bool
	var status atomic.Int64
	client := s3test.Start(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rec := httptest.NewRecorder()
			next.ServeHTTP(rec, r)
			status.Store(int64(rec.Code))
			if r.Method == http.MethodPut && lose.CompareAndSwap(true, false) {
				panic(http.ErrAbortHandler)
			}
			for name, values := range rec.Header() {
				w.Header()[name] = values
			}
			w.WriteHeader(rec.Code)
			_, _ = w.Write(rec.Body.Bytes())
		})
	})
	s := source.NewS3(client, s3test.Bucket(t, client), "routes.yaml")
	one, err := s.Write(t.Context(), nil, []byte("one"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context(), one); err != nil || status.Load() != http.StatusNotModified {
		t.Errorf("status %d, %v", status.Load(), err)
	}
	lose.Store(true)
	two, err := s.Write(t.Context(), one, []byte("two"))
	if err != nil || lose.Load() {
		t.Fatalf("its own write is taken for another's: %v", err)
	}
	if again, err := s.Read(t.Context(), two); err != nil || again != two {
		t.Errorf("%v", err)
	}
}

func TestSSM(t *testing.T) {
	server := httptest.NewServer(settings.NewParameters(settings.Config{}))
	defer server.Close()
	testSSM(t, parameters(t, server.URL), "/routes")
}

// TestPeerSSM has the history too.
func TestPeerSSM(t *testing.T) {
	url := os.Getenv("BANYAN_CONFORMANCE_SSM")
	if url == "" {
		t.Skip("BANYAN_CONFORMANCE_SSM is not set")
	}
	client, name := parameters(t, url), "/banyan/"+uuid.NewString()+"/routes"
	testSSM(t, client, name)
	for _, s := range []*source.SSM{source.NewSSM(client, name), source.NewSSM(client, name+":2")} {
		history, err := s.History(t.Context())
		if err != nil || len(history) != 2 || history[0].ID != "2" || !history[0].Current || history[1].Current || history[1].At.IsZero() || history[1].Bytes != 3 {
			t.Errorf("%s: %+v, %v", s, history, err)
		}
	}
}

func parameters(t *testing.T, url string) *ssm.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return ssm.New(ssm.Options{
		Region: "us-east-1", BaseEndpoint: &url, HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
}

func testSSM(t *testing.T, client *ssm.Client, name string) {
	put := func(value string) {
		t.Helper()
		in := &ssm.PutParameterInput{Name: &name, Value: &value, Type: types.ParameterTypeString, Overwrite: aws.Bool(true)}
		if _, err := client.PutParameter(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	s := source.NewSSM(client, name)
	if _, err := s.Read(t.Context(), nil); !errors.Is(err, source.ErrNotFound) {
		t.Errorf("read of nothing: %v", err)
	}
	put("one")
	one, err := s.Read(t.Context(), nil)
	if err != nil || string(one.Content) != "one" {
		t.Fatalf("%+v, %v", one, err)
	}
	if again, err := s.Read(t.Context(), one); err != nil || again != one {
		t.Errorf("what did not change was read anew: %v", err)
	}
	put("two")
	if two, err := s.Read(t.Context(), one); err != nil || string(two.Content) != "two" {
		t.Errorf("%+v, %v", two, err)
	}
	if old, err := s.Version(t.Context(), "1"); err != nil || string(old) != "one" {
		t.Errorf("version 1: %q, %v", old, err)
	}
	if pinned, err := source.NewSSM(client, name+":1").Read(t.Context(), nil); err != nil || string(pinned.Content) != "one" {
		t.Errorf("a name with a version: %+v, %v", pinned, err)
	}
	for _, id := range []string{"9", "x"} {
		if _, err := s.Version(t.Context(), id); !errors.Is(err, source.ErrNotFound) {
			t.Errorf("version %s: %v", id, err)
		}
	}
	if _, err := s.Write(t.Context(), one, []byte("x")); !errors.Is(err, source.ErrReadOnly) || !strings.Contains(err.Error(), "put-parameter") {
		t.Errorf("a change: %v", err)
	}
}
