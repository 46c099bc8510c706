package archive

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/events"
)

const (
	eventsFolder    = "events"
	manifestsFolder = "manifests"
	dayFormat       = time.DateOnly
	objectExt       = ".ndjson.gz"
	// maxLine is more than a record of 10 MiB takes.
	maxLine = 16 << 20
)

// ErrCorrupt is returned for an object that is not what its name says: it was truncated or
// altered.
var ErrCorrupt = errors.New("truncated or altered")

// object is what the name of an object says.
type object struct {
	day, shard  string
	first, last string // sequence numbers, padded
	digest      string // SHA-256 of its bytes
}

// partition is the folder of the objects of a day and a shard, below events or manifests.
func partition(folder, day, shard string) string {
	return path.Join(folder, "day="+day, "shard="+shard) + "/"
}

func (o object) name() string {
	return partition(eventsFolder, o.day, o.shard) + o.first + "-" + o.last + "-" + o.digest + objectExt
}

var objectName = regexp.MustCompile(`^events/day=(\d{4}-\d\d-\d\d)/shard=(` + shardPattern + `)/(\d{64})-(\d{64})-([0-9a-f]{64})\.ndjson\.gz$`)

// shardPattern is Kinesis's for the ids of shards, without what a path would climb by.
const shardPattern = `[a-zA-Z0-9_-][a-zA-Z0-9_.-]{0,127}`

func parseObject(name string) (object, error) {
	m := objectName.FindStringSubmatch(name)
	if m == nil {
		return object{}, fmt.Errorf("%s is not the name of an object with events: move it out of the archive", name)
	}
	return object{m[1], m[2], m[3], m[4], m[5]}, nil
}

// seal makes an object of records, which are of one shard and day and in order.
func seal(records []Record) (name string, data []byte) {
	var text []byte
	for _, r := range records {
		text = r.appendLines(text)
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(text) // to memory
	_ = z.Close()
	first, last := records[0], records[len(records)-1]
	o := object{first.Arrived.Format(dayFormat), first.Shard, pad(first.Sequence), pad(last.Sequence), digest(b.Bytes())}
	return o.name(), b.Bytes()
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// objectCursor reads the records of one object.
type objectCursor struct {
	name    string
	object  object
	bytes   int
	z       *gzip.Reader
	scanner *bufio.Scanner
	next    *Record // read already
}

// openObject reads the object and compares it with the digest in its name, before anything of
// it is used.
func openObject(ctx context.Context, store Store, name string) (*objectCursor, error) {
	o, err := parseObject(name)
	if err != nil {
		return nil, err
	}
	data, err := store.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	if digest(data) != o.digest {
		return nil, corrupt(name, errors.New("its SHA-256 is another"))
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, corrupt(name, err)
	}
	c := &objectCursor{name: name, object: o, bytes: len(data), z: z, scanner: bufio.NewScanner(z)}
	c.scanner.Buffer(make([]byte, 0, 64<<10), maxLine)
	return c, nil
}

func corrupt(name string, err error) error {
	return fmt.Errorf("object %s is %w: %w; bring back an earlier version of it, or delete it and replay the stream", name, ErrCorrupt, err)
}

// Next returns the next record, or io.EOF.
func (c *objectCursor) Next(context.Context) (Record, error) {
	for {
		if !c.scanner.Scan() {
			return c.end()
		}
		p, l, err := parseLine(c.scanner.Bytes())
		if err != nil {
			return Record{}, corrupt(c.name, err)
		}
		e := Event{Key: l.Key, Raw: bytes.Clone(l.Data)}
		if r := c.next; r != nil && r.Sequence == p.Sequence && p.Sub == len(r.Events) {
			r.Events = append(r.Events, e)
			continue
		}
		done := c.next
		if p.Sub != 0 || done != nil && !done.Position(0).Before(p) {
			return Record{}, corrupt(c.name, fmt.Errorf("%s is out of order", l.Position))
		}
		c.next = &Record{Shard: c.object.shard, Sequence: p.Sequence, Arrived: l.Arrived.UTC(), Events: []Event{e}}
		if done != nil {
			return *done, nil
		}
		if pad(p.Sequence) != c.object.first {
			return Record{}, corrupt(c.name, fmt.Errorf("it begins at %s", l.Position))
		}
	}
}

// end returns the last record, and then io.EOF.
func (c *objectCursor) end() (Record, error) {
	if err := c.scanner.Err(); err != nil {
		return Record{}, corrupt(c.name, err)
	}
	if c.next == nil {
		return Record{}, io.EOF
	}
	r := *c.next
	c.next = nil
	if pad(r.Sequence) != c.object.last {
		return Record{}, corrupt(c.name, fmt.Errorf("it ends at %v", events.Position{Sequence: r.Sequence}))
	}
	return r, nil
}

// folderValue is the value in the name of a folder, as the day in "day=2026-11-30/", or "".
func folderValue(name, key string) string {
	value, ok := strings.CutPrefix(strings.TrimSuffix(name, "/"), key+"=")
	if !ok {
		return ""
	}
	return value
}
