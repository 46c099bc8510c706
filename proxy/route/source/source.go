// Package source keeps a route file where the proxies of a fleet find it: in a local file, in
// an object of S3, or in a parameter of SSM. What is read is the document as it is; whether it
// compiles, and what becomes of one that does not, is for the reader.
//
//	s := source.NewS3(s3.NewFromConfig(cfg), "acme-routes", "prod/routes.yaml")
//	doc, err := s.Read(ctx, nil)
//	doc, err = s.Read(ctx, doc) // the same one, unless there is another meanwhile
//	doc, err = s.Write(ctx, doc, changed)
//
// A change says which document it replaces, and takes effect only where that one still stands:
//
//	        reads what is new by             replaces            earlier versions
//	[File]  its size, time and inode         under a lock        the last 50, beside it
//	[S3]    its ETag, which costs no body    by If-Match         the bucket's, where it has versioning
//	[SSM]   reading it, at most 8 KB         not: [ErrReadOnly]  the parameter's, the last 100
//
// Caveats:
//
//   - An editor takes no lock: a file that is changed by hand in the same moment as through
//     [File.Write] has one of the two changes. What was replaced is in the history.
//   - PutParameter of SSM has no condition, so that of two operators one would undo the other's
//     change unseen. Parameters are changed by SSM's own means, or by moving a label: name the
//     parameter as /prod/routes:live then.
//   - A document that was replaced and put again is the same one as before.
package source

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

var (
	// ErrConflict is returned for a change of a document that is not the one that stands.
	ErrConflict = errors.New("another document has been put in its place meanwhile")
	// ErrNotFound is returned where there is no document, or no such version of it.
	ErrNotFound = errors.New("not found")
	// ErrReadOnly is returned by a source that cannot make a change on a condition.
	ErrReadOnly = errors.New("it cannot be changed from here")
)

// maxContent bounds what is read, in bytes, far above what a route file may have.
const maxContent = 8 << 20

// Document is a route file as it stood when it was read. It is not changed.
type Document struct {
	Content []byte
	tag     string      // of S3 and SSM
	info    os.FileInfo // of a file
}

// Version is a document that stands or once stood, as the history has it.
type Version struct {
	ID      string    `json:"version"`
	At      time.Time `json:"at"`    // when it was put, by the source's clock
	Bytes   int64     `json:"bytes"` // its length
	By      string    `json:"by,omitempty"`
	Current bool      `json:"current,omitempty"`
}

func readContent(r io.Reader) ([]byte, error) {
	src, err := io.ReadAll(io.LimitReader(r, maxContent+1))
	if err == nil && len(src) > maxContent {
		err = fmt.Errorf("it has more than %d bytes", maxContent)
	}
	return src, err
}
