// Package export writes a collection to a file, before it is dropped: a line of canonical
// extended JSON for each document, compressed by gzip, so that types survive and
// mongoimport reads it:
//
//	gunzip -c users.json.gz | mongoimport --db legacy --collection users
//
// Beside it stand NAME.metadata.json, with the collection's UUID, options and indexes, and
// NAME.json.gz.sha256, which `sha256sum -c` checks. It is written last: without it there is
// no export.
package export

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// ErrNotJSON says that a document would not be the same after it was read from extended
// JSON, such as one whose texts are not UTF-8.
var ErrNotJSON = errors.New("extended JSON cannot hold the document without loss; dump the collection with mongodump instead, and leave exportTo out")

// ErrIncomplete says that the file does not hold what the collection does. Somebody writes
// to it, or the file was changed.
var ErrIncomplete = errors.New("the export is not what the collection holds")

// Export says what is written where.
type Export struct {
	Collection *mongo.Collection // nobody writes to it meanwhile
	UUID       string            // of the collection, 32 hexadecimal digits
	Directory  string            // is created where it does not exist
	Name       string            // of the files, without an extension; what a path cannot have is escaped
	// Progress, if set, is called with the number of documents that are written, now and
	// then.
	Progress func(documents int64)
}

// File is an export that was written.
type File struct {
	Path      string `json:"path"`
	SHA256    string `json:"sha256"` // of the compressed file, in hexadecimal
	Documents int64  `json:"documents"`
	Bytes     int64  `json:"bytes"` // of the compressed file
}

// metadata describes the collection, and the export so that it can be told from another's.
type metadata struct {
	Namespace string     `bson:"namespace"`
	UUID      string     `bson:"uuid"`
	Documents int64      `bson:"documents"`
	SHA256    string     `bson:"sha256"`
	Options   bson.Raw   `bson:"options,omitempty"`
	Indexes   []bson.Raw `bson:"indexes"`
}

// Path is where the documents are written.
func (e Export) Path() string { return e.path(".json.gz") }

func (e Export) path(extension string) string {
	return filepath.Join(e.Directory, url.PathEscape(e.Name)+extension)
}

// Write exports the collection, reads the file once more, and compares what it holds with
// the collection's count. An export of the same collection that was written before and is
// whole is returned as it is; one of another collection is never replaced. Files appear
// under their names only when they are whole. Memory is bounded by a document.
func (e Export) Write(ctx context.Context) (File, error) {
	file, err := e.existing()
	if err == nil && file.Path == "" {
		file, err = e.write(ctx)
	}
	if err == nil {
		err = e.check(ctx, file)
	}
	if err != nil {
		return file, fmt.Errorf("export %s to %s: %w", e.Collection.Name(), e.Path(), err)
	}
	return file, nil
}

// existing returns the export of an earlier call, with an empty path for none.
func (e Export) existing() (File, error) {
	text, err := os.ReadFile(e.path(".metadata.json"))
	if errors.Is(err, os.ErrNotExist) {
		return File{}, nil
	}
	var m metadata
	if err == nil {
		err = bson.UnmarshalExtJSON(text, true, &m)
	}
	switch {
	case err != nil:
		return File{}, fmt.Errorf("read the metadata of an earlier export: %w; move it away", err)
	case m.UUID != e.UUID:
		return File{}, fmt.Errorf("the files there are an export of another collection, %s with the UUID %s; move them away", m.Namespace, m.UUID)
	}
	if _, err := os.Stat(e.path(".json.gz.sha256")); errors.Is(err, os.ErrNotExist) {
		return File{}, nil // it was interrupted
	}
	info, err := os.Stat(e.Path())
	if err != nil {
		return File{}, err
	}
	return File{Path: e.Path(), SHA256: m.SHA256, Documents: m.Documents, Bytes: info.Size()}, nil
}

func (e Export) write(ctx context.Context) (File, error) {
	if err := os.MkdirAll(e.Directory, 0o700); err != nil {
		return File{}, err
	}
	file := File{Path: e.Path()}
	err := writeWhole(file.Path, func(w io.Writer) error {
		sum := sha256.New()
		counted := &counter{w: io.MultiWriter(w, sum)}
		packed := gzip.NewWriter(counted)
		if err := e.writeDocuments(ctx, packed, &file.Documents); err != nil {
			return err
		}
		err := packed.Close()
		file.SHA256, file.Bytes = hexOf(sum), counted.n
		return err
	})
	if err != nil {
		return file, err
	}
	m, err := e.describe(ctx, file)
	if err != nil {
		return file, err
	}
	text, err := bson.MarshalExtJSONIndent(m, true, false, "", "  ")
	if err != nil {
		return file, err
	}
	if err := writeWhole(e.path(".metadata.json"), contents(string(text)+"\n")); err != nil {
		return file, err
	}
	return file, writeWhole(file.Path+".sha256", contents(fmt.Sprintf("%s  %s\n", file.SHA256, filepath.Base(file.Path))))
}

func (e Export) writeDocuments(ctx context.Context, w io.Writer, n *int64) error {
	cursor, err := e.Collection.Find(ctx, bson.D{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		return err
	}
	defer func() { _ = cursor.Close(context.WithoutCancel(ctx)) }()
	for cursor.Next(ctx) {
		line, err := lineOf(cursor.Current)
		if err != nil {
			return fmt.Errorf("document %s: %w", cursor.Current.Lookup("_id"), err)
		}
		if _, err := w.Write(append(line, '\n')); err != nil {
			return err
		}
		if *n++; *n%1000 == 0 && e.Progress != nil {
			e.Progress(*n)
		}
	}
	return cursor.Err()
}

// lineOf is a document as extended JSON, from which the same bytes can be read.
func lineOf(doc bson.Raw) ([]byte, error) {
	line, err := bson.MarshalExtJSON(doc, true, false)
	if err != nil {
		return nil, err
	}
	var again bson.Raw
	if err := bson.UnmarshalExtJSON(line, true, &again); err != nil || !bytes.Equal(again, doc) {
		return nil, errors.Join(ErrNotJSON, err)
	}
	return line, nil
}

func (e Export) describe(ctx context.Context, file File) (metadata, error) {
	m := metadata{Namespace: e.Collection.Database().Name() + "." + e.Collection.Name(), UUID: e.UUID, Documents: file.Documents, SHA256: file.SHA256}
	specs, err := e.Collection.Database().ListCollectionSpecifications(ctx, bson.D{{Key: "name", Value: e.Collection.Name()}})
	if err != nil {
		return m, err
	}
	for _, s := range specs {
		m.Options = s.Options
	}
	cursor, err := e.Collection.Indexes().List(ctx)
	if err != nil {
		return m, err
	}
	return m, cursor.All(ctx, &m.Indexes)
}

// check reads the file as a whole, and counts the collection.
func (e Export) check(ctx context.Context, file File) error {
	f, err := os.Open(file.Path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	sum := sha256.New()
	lines, err := countLines(io.TeeReader(f, sum))
	if err != nil {
		return fmt.Errorf("read it again: %w", err)
	}
	there, err := e.Collection.CountDocuments(ctx, bson.D{})
	switch {
	case err != nil:
		return err
	case hexOf(sum) != file.SHA256:
		return fmt.Errorf("%w: its checksum is %s, not %s; move it away", ErrIncomplete, hexOf(sum), file.SHA256)
	case lines != file.Documents || there != lines:
		return fmt.Errorf("%w: it has %d documents, the collection has %d; move it away and find out who writes", ErrIncomplete, lines, there)
	}
	return nil
}

// countLines unpacks r to its end.
func countLines(r io.Reader) (n int64, err error) {
	buffered := bufio.NewReader(r)
	unpacked, err := gzip.NewReader(buffered)
	if err != nil {
		return 0, err
	}
	block := make([]byte, 64<<10)
	for {
		read, err := unpacked.Read(block)
		for _, b := range block[:read] {
			if b == '\n' {
				n++
			}
		}
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, buffered)
			return n, err
		}
		if err != nil {
			return n, err
		}
	}
}

// writeWhole writes a file that has its name only when it is whole and on the disk.
func writeWhole(path string, write func(io.Writer) error) (err error) {
	f, err := os.OpenFile(path+".partial", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	err = write(w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(path))
}

func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func contents(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.Copy(w, strings.NewReader(text))
		return err
	}
}

func hexOf(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// counter counts what is written.
type counter struct {
	w io.Writer
	n int64
}

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
