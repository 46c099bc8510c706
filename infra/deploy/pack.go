package deploy

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"time"
)

// The architectures of functions, as Lambda names them.
const (
	ARM64 = "arm64"
	X8664 = "x86_64"
)

// Pack makes the archive of a function from its executable. The same bytes make
// the same archive: the only file in it is named bootstrap, has mode 755 and the
// first time that an archive knows.
func Pack(executable []byte) ([]byte, error) {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.DefaultCompression) })
	h := &zip.FileHeader{Name: "bootstrap", Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
	h.SetMode(0o755)
	w, err := z.CreateHeader(h)
	if err == nil {
		_, err = w.Write(executable)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("pack a function: %w", err)
	}
	return out.Bytes(), nil
}

// Digest is the SHA-256 of an archive as Lambda reports it, in base64.
func Digest(archive []byte) string {
	sum := sha256.Sum256(archive)
	return base64.StdEncoding.EncodeToString(sum[:])
}
