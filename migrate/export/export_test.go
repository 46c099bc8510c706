package export_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/mongodbtest"
	"github.com/banyan-fig/banyan/migrate/export"
)

const uuid = "000102030405060708090a0b0c0d0e0f"

// things is a collection with n documents of many types.
func things(t *testing.T, n int) *mongo.Collection {
	t.Helper()
	uri := mongodbtest.Start(t, nil)
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	c := client.Database(mongodbtest.Database(uri)).Collection("things")
	price, _ := bson.ParseDecimal128("12.50")
	for i := range n {
		doc := bson.D{{Key: "_id", Value: int64(i)}, {Key: "price", Value: price}, {Key: "at", Value: time.UnixMilli(1600000000000).UTC()},
			{Key: "text", Value: "line\nbreak <&> \u2028"}, {Key: "n", Value: 1.0}, {Key: "none", Value: nil}}
		if _, err := c.InsertOne(t.Context(), doc); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{Key: "at", Value: 1}}}); err != nil {
		t.Fatal(err)
	}
	return c
}

// mustHold checks that a file holds exactly the collection's documents.
func mustHold(t *testing.T, path string, c *mongo.Collection) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	unpacked, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	n := int64(0)
	for lines := bufio.NewScanner(unpacked); lines.Scan(); n++ {
		var doc bson.Raw
		if err := bson.UnmarshalExtJSON(lines.Bytes(), true, &doc); err != nil {
			t.Fatal(err)
		}
		there, err := c.FindOne(t.Context(), bson.D{{Key: "_id", Value: doc.Lookup("_id")}}).Raw()
		if err != nil || there.String() != doc.String() {
			t.Errorf("%s\nis not\n%s (%v)", doc, there, err)
		}
	}
	if there, err := c.CountDocuments(t.Context(), bson.D{}); err != nil || there != n {
		t.Errorf("%d documents of %d, %v", n, there, err)
	}
}

func TestWriteIsReadBackAndFoundAgain(t *testing.T) {
	c := things(t, 30)
	e := export.Export{Collection: c, UUID: uuid, Directory: filepath.Join(t.TempDir(), "deep", "er"), Name: "things.00010203"}
	file, err := e.Write(t.Context())
	if err != nil || file.Documents != 30 {
		t.Fatalf("%+v %v", file, err)
	}
	mustHold(t, file.Path, c)
	text, err := os.ReadFile(filepath.Join(e.Directory, "things.00010203.metadata.json"))
	if err != nil || !strings.Contains(string(text), uuid) || !strings.Contains(string(text), "at_1") {
		t.Errorf("%s %v", text, err)
	}
	if sums, err := exec.LookPath("sha256sum"); err == nil {
		check := exec.CommandContext(t.Context(), sums, "-c", filepath.Base(file.Path)+".sha256")
		check.Dir = e.Directory
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s %v", out, err)
		}
	}
	before, err := os.Stat(file.Path)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := e.Write(t.Context()); err != nil || again != file {
		t.Errorf("%+v %v", again, err)
	}
	if after, err := os.Stat(file.Path); err != nil || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("it was written again: %v", err)
	}
}

func TestAnExportThatIsNotTheCollectionIsRefused(t *testing.T) {
	c := things(t, 10)
	e := export.Export{Collection: c, UUID: uuid, Directory: t.TempDir(), Name: "things"}
	file, err := e.Write(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other := e
	other.UUID = strings.Repeat("f", 32)
	if _, err := other.Write(t.Context()); err == nil || !strings.Contains(err.Error(), "another collection") {
		t.Errorf("of another collection: %v", err)
	}
	if _, err := c.InsertOne(t.Context(), bson.D{{Key: "_id", Value: "late"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Write(t.Context()); !errors.Is(err, export.ErrIncomplete) {
		t.Errorf("with a document less: %v", err)
	}
	if _, err := c.DeleteOne(t.Context(), bson.D{{Key: "_id", Value: "late"}}); err != nil {
		t.Fatal(err)
	}
	packed, err := os.ReadFile(file.Path)
	if err != nil {
		t.Fatal(err)
	}
	packed[4]++ // the time in the header of gzip, which its own checksum does not cover
	if err := os.WriteFile(file.Path, packed, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Write(t.Context()); !errors.Is(err, export.ErrIncomplete) {
		t.Errorf("with a changed byte: %v", err)
	}
	if err := os.WriteFile(file.Path, packed[:len(packed)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Write(t.Context()); err == nil {
		t.Error("half a file is accepted")
	}
}

func TestAnInterruptedExportBeginsAgain(t *testing.T) {
	c := things(t, 10)
	e := export.Export{Collection: c, UUID: uuid, Directory: t.TempDir(), Name: "things"}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Write(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	if left, err := os.ReadDir(e.Directory); err != nil || len(left) > 0 {
		t.Errorf("%v %v", left, err)
	}
	if _, err := e.Write(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Killed before the checksum was written.
	if err := os.Remove(filepath.Join(e.Directory, "things.json.gz.sha256")); err != nil {
		t.Fatal(err)
	}
	file, err := e.Write(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mustHold(t, file.Path, c)
}

// A full disk, as far as every machine has one.
func TestAnExportToAFullDiskFails(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("there is no /dev/full here")
	}
	e := export.Export{Collection: things(t, 10), UUID: uuid, Directory: t.TempDir(), Name: "things"}
	if err := os.Symlink("/dev/full", filepath.Join(e.Directory, "things.json.gz.partial")); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Write(t.Context()); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(e.Path()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a file all the same: %v", err)
	}
}

// MongoDB allows names and texts that files and JSON do not.
func TestNamesAndTextsOfOthers(t *testing.T) {
	c := things(t, 3)
	inside := t.TempDir()
	for _, name := range []string{"shop/orders", "../outside", `a\b c`, "."} {
		e := export.Export{Collection: c, UUID: uuid, Directory: filepath.Join(inside, "exports"), Name: name + ".00010203"}
		file, err := e.Write(t.Context())
		if err != nil || filepath.Dir(file.Path) != e.Directory {
			t.Errorf("%s: %+v %v", name, file, err)
		}
	}
	if _, err := c.InsertOne(t.Context(), bson.D{{Key: "_id", Value: "latin"}, {Key: "name", Value: "Zo\xeb"}}); err != nil {
		t.Fatal(err)
	}
	e := export.Export{Collection: c, UUID: uuid, Directory: inside, Name: "things"}
	if _, err := e.Write(t.Context()); !errors.Is(err, export.ErrNotJSON) || !strings.Contains(err.Error(), "latin") {
		t.Errorf("a text that is not UTF-8: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(inside, "things*")); err != nil || len(left) > 0 {
		t.Errorf("%v %v", left, err)
	}
}
