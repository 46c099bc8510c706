// Command warehouse is the Lambda function that makes rows for a data warehouse of every object
// that is added to the archive, see package consumers/warehouse:
//
//	ARCHIVE    the archive, with the stream's name: s3://bucket/prefix/stream
//	WAREHOUSE  where the rows go: s3://bucket/prefix
//	SCHEMAS    file with the AsyncAPI document in JSON of the types of events, such as
//	           /opt/asyncapi.json in a layer
//
// and the variables of package consumers/function. The archive's bucket notifies it of
// s3:ObjectCreated:*, directly, or through a queue, which keeps what fails until it is
// repaired; directly, Lambda tries three times, so give it a destination for failures. Other
// objects of the bucket are passed over. What was missed is loaded by banyan-consume warehouse
// load; loading twice does no harm. It needs s3:GetObject on the archive and s3:PutObject where
// the rows go, no table, and memory for the largest object: 512 MB for batches of 6 MB.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	awsevents "github.com/aws/aws-lambda-go/events"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/archive"
	"github.com/banyan-fig/banyan/consumers/function"
	"github.com/banyan-fig/banyan/consumers/source"
	"github.com/banyan-fig/banyan/consumers/warehouse"
)

func main() { function.Main(spec) }

var spec = function.Spec{
	Name:    "warehouse",
	Sources: []source.Source{source.S3(), source.SQS()},
	Policy:  consumers.Halt, // what fails stays in the queue, or goes to the destination
	Handler: newHandler,
}

type handler struct {
	loader *warehouse.Loader
	from   archive.Store
}

func newHandler(e function.Env) (consumers.Handler, error) {
	catalog, err := warehouse.ReadCatalogFile(e.Getenv("SCHEMAS"))
	if err != nil {
		return nil, fmt.Errorf("SCHEMAS must be an AsyncAPI document in JSON: %w", err)
	}
	from, errFrom := archive.Open(e.AWS, e.Getenv("ARCHIVE"))
	to, errTo := archive.Open(e.AWS, e.Getenv("WAREHOUSE"))
	if err := errors.Join(errFrom, errTo); err != nil {
		return nil, fmt.Errorf("ARCHIVE and WAREHOUSE: %w", err)
	}
	return handler{&warehouse.Loader{Catalog: catalog, Store: to}, from}.handle, nil
}

func (h handler) handle(ctx context.Context, m consumers.Message) error {
	if r, ok := m.Record.(awsevents.S3EventRecord); ok {
		return h.load(ctx, r)
	}
	var e struct { // in a message of a queue
		Event   string // of a test, which S3 sends when notifications are set up
		Records []awsevents.S3EventRecord
	}
	err := json.Unmarshal(m.Raw, &e)
	if err == nil && len(e.Records) == 0 && e.Event != "s3:TestEvent" {
		err = errors.New("it has no Records")
	}
	if err != nil {
		return consumers.Permanent(fmt.Errorf("warehouse: the message is no notification of S3: %w", err))
	}
	for _, r := range e.Records {
		if err := h.load(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

func (h handler) load(ctx context.Context, r awsevents.S3EventRecord) error {
	prefix := strings.TrimSuffix(h.from.String(), "/") + "/"
	name, ok := strings.CutPrefix("s3://"+r.S3.Bucket.Name+"/"+r.S3.Object.URLDecodedKey, prefix)
	if !ok || !strings.HasPrefix(name, "events/") {
		return nil
	}
	_, err := h.loader.LoadObject(ctx, h.from, name)
	if errors.Is(err, archive.ErrCorrupt) || errors.Is(err, archive.ErrNotFound) {
		return consumers.Permanent(err)
	}
	return err
}
