package lambda

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"sync"
)

// code is one unpacked archive, shared by all versions that have it.
type code struct {
	dir    string
	sha256 string // base64, as the API shows it
	size   int64  // of the archive
	users  int
}

// codeStore unpacks archives and removes those that no version has any more.
type codeStore struct {
	dir string

	mu   sync.Mutex
	byID map[string]*code
}

func invalidZip(err error) error {
	return &apiError{
		status: http.StatusBadRequest, code: "InvalidParameterValueException",
		message: "Could not unzip uploaded file. Please check your file, then try to upload again. (" + err.Error() + ")",
	}
}

// add unpacks the archive, or finds it unpacked. Give it back with release.
func (s *codeStore) add(archive []byte) (*code, error) {
	if len(archive) == 0 {
		return nil, invalidZip(errors.New("it is empty"))
	}
	if len(archive) > maxDirectUpload {
		return nil, &apiError{
			status: http.StatusRequestEntityTooLarge, code: "RequestEntityTooLargeException",
			message: fmt.Sprintf("the archive has %d bytes; at most %d can be uploaded directly", len(archive), maxDirectUpload),
		}
	}
	sum := sha256.Sum256(archive)
	id := hex.EncodeToString(sum[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, known := s.byID[id]; known {
		c.users++
		return c, nil
	}
	c := &code{dir: filepath.Join(s.dir, id), sha256: base64.StdEncoding.EncodeToString(sum[:]), size: int64(len(archive)), users: 1}
	if err := unpack(archive, c.dir); err != nil {
		_ = os.RemoveAll(c.dir)
		return nil, err
	}
	s.byID[id] = c
	return c, nil
}

// share notes one more version that has the code.
func (s *codeStore) share(c *code) *code {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.users++
	return c
}

// release removes the code with its last user. Processes that still run from
// it keep running.
func (s *codeStore) release(c *code) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.users--; c.users > 0 {
		return
	}
	delete(s.byID, filepath.Base(c.dir))
	_ = os.RemoveAll(c.dir)
}

func unpack(archive []byte, dir string) error {
	r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return invalidZip(err)
	}
	var total uint64
	for _, f := range r.File {
		if total += f.UncompressedSize64; total > maxUnpacked {
			return invalid("Unzipped size must be smaller than %d bytes", maxUnpacked)
		}
	}
	for _, f := range r.File {
		if err := unpackFile(f, dir); err != nil {
			return err
		}
	}
	return nil
}

// unpackFile writes one file of the archive, with its permissions. Links and
// names that lead outside are refused.
func unpackFile(f *zip.File, dir string) error {
	name := filepath.FromSlash(f.Name)
	if !filepath.IsLocal(name) {
		return invalidZip(fmt.Errorf("the name %q leads outside of the archive", f.Name))
	}
	path := filepath.Join(dir, name)
	mode := f.Mode()
	switch {
	case mode.IsDir():
		return os.MkdirAll(path, 0o755)
	case !mode.IsRegular():
		return notImplemented("the archive's %q, which is not a regular file", f.Name)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return copyOut(f, path, mode.Perm()|0o600)
}

func copyOut(f *zip.File, path string, perm fs.FileMode) error {
	in, err := f.Open()
	if err != nil {
		return invalidZip(err)
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, perm)
	if err != nil {
		return fmt.Errorf("unpacking %s: %w", f.Name, err)
	}
	// The reader fails where the contents are longer than the size it declared.
	if _, err := io.Copy(out, in); err != nil {
		_ = out.Close()
		return invalidZip(err)
	}
	return out.Close()
}
