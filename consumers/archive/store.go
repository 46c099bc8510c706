package archive

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// ErrNotFound is returned for an object that does not exist.
var ErrNotFound = errors.New("not found")

// maxObject is how large an object may be that is read: a batch of Lambda's has 6 MB.
const maxObject = 64 << 20

// Store keeps objects by name: words with slashes between them. It is safe for concurrent
// use.
type Store interface {
	// Put writes an object, whole and durable, or not at all. An object that is there is
	// replaced.
	Put(ctx context.Context, name string, data []byte) error
	// Get reads an object of at most 64 MiB; [ErrNotFound] if there is none.
	Get(ctx context.Context, name string) ([]byte, error)
	// List lists the objects of a folder, whose name ends in a slash, by name, from the
	// first whose name is greater than after.
	List(ctx context.Context, folder, after string) iter.Seq2[string, error]
	// Folders lists the folders in a folder, by name, each ending in a slash. The folder's
	// own name is left out.
	Folders(ctx context.Context, folder string) ([]string, error)
	// String is the address of the store.
	String() string
}

// Open returns the store at an address: s3://bucket/prefix, or a folder, as a path or as
// file:///path. It sends nothing.
func Open(cfg aws.Config, address string) (Store, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || address == "":
		return nil, fmt.Errorf("invalid archive %q: must be s3://bucket/prefix or a folder", address)
	case u.Scheme == "s3" && u.Host != "":
		return NewS3(s3.NewFromConfig(cfg), u.Host, strings.Trim(u.Path, "/")), nil
	case u.Scheme == "file" && u.Host == "" && u.Path != "":
		return NewFiles(filepath.FromSlash(u.Path)), nil
	case u.Scheme == "":
		return NewFiles(address), nil
	}
	return nil, fmt.Errorf("invalid archive %q: must be s3://bucket/prefix or a folder", address)
}
