// Command load inserts a file of extended JSON, one document a line as mongoexport writes
// it, into a collection of the database that MONGODB_URI names:
//
//	go run ./migrate/testdata/load COLLECTION FILE
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/mongoclient"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: load COLLECTION FILE")
		os.Exit(2)
	}
	n, err := load(context.Background(), os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
	fmt.Printf("%d documents inserted into %s.\n", n, os.Args[1])
}

func load(ctx context.Context, collection, name string) (int, error) {
	db, err := mongoclient.Open(ctx, os.Getenv("MONGODB_URI"))
	if err != nil {
		return 0, err
	}
	defer func() { _ = db.Close(ctx) }() // the process ends
	file, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }() // only read
	var docs []any
	lines := bufio.NewScanner(file)
	for lines.Buffer(nil, 64<<20); lines.Scan(); {
		var doc bson.D
		if err := bson.UnmarshalExtJSON(lines.Bytes(), false, &doc); err != nil {
			return 0, fmt.Errorf("%s, line %d: %w", name, len(docs)+1, err)
		}
		docs = append(docs, doc)
	}
	if err := lines.Err(); err != nil {
		return 0, err
	}
	return len(docs), db.Do(ctx, func(ctx context.Context, db *mongo.Database) error {
		_, err := db.Collection(collection).InsertMany(ctx, docs)
		return err
	})
}
