package consumers_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/personal"
	"github.com/banyan-fig/banyan/events/personal/keytable"
	kinesissandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
	"github.com/banyan-fig/banyan/publishers"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/spool"
	stream "github.com/banyan-fig/banyan/publishers/streamtest"
)

// sent is a message of one person to another, each of whom can be erased.
type sent struct {
	From string `json:"from"`
	To   string `json:"to"`
	Text string `json:"text" personal:"user/{from}"`
	Name string `json:"name" personal:"user/{to}"`
	Size int    `json:"size" personal:"subject"`
}

func (sent) EventType() string      { return "message.sent" }
func (sent) EventVersion() int      { return 1 }
func (m sent) Subject() string      { return "user/" + m.From }
func (m sent) PartitionKey() string { return m.From }
func (m sent) Validate() error {
	if m.Text == "" {
		return errors.New("text is empty")
	}
	return nil
}

const (
	secretText = "meet me at the old mill"
	secretName = "Beatrix Ångström"
)

var whole = sent{From: "1", To: "2", Text: secretText, Name: secretName, Size: 23}

var chat = events.MustRegistry(events.Define(whole, "the sender's id"))

// pipeline is a publisher with a spool, a stream, and a consumer with dead letters.
type pipeline struct {
	t         *testing.T
	keys      func() *keytable.Table // of another process
	erased    *atomic.Int64          // how much later it is
	publisher publishers.Publisher
	spool     *spool.Spool
	spoolFile string
	drain     func()
	records   func() []awsevents.KinesisEventRecord
}

func newPipeline(t *testing.T) *pipeline {
	ctx := t.Context()
	p := &pipeline{t: t, erased: new(atomic.Int64), spoolFile: filepath.Join(t.TempDir(), "events.spool")}
	db := streamtest.NewDynamoDB(t)
	name := db.CreateTable(func(name string) *dynamodb.CreateTableInput { return keytable.Input(name) })
	p.keys = func() *keytable.Table {
		now := func() time.Time { return time.Now().Add(time.Duration(p.erased.Load())) }
		table, err := keytable.New(keytable.Config{Client: db.Client(nil), Name: name, Now: now})
		sandboxtest.Must(t, err)
		return table
	}
	server, err := kinesissandbox.New(kinesissandbox.Config{Transition: time.Millisecond})
	sandboxtest.Must(t, err)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client := stream.NewClient(sandboxtest.Serve(t, server), transport)
	sandboxtest.Must(t, stream.Create(ctx, client, "chat", 1))
	to, err := kinesis.New(ctx, kinesis.Config{Client: client, Stream: "chat", Check: chat.Check})
	sandboxtest.Must(t, err)
	t.Cleanup(func() { _ = to.Close(context.Background()) })
	p.spool, err = spool.Open(ctx, spool.Config{Path: p.spoolFile, Check: chat.Check, Permanent: func(error) bool { return false }})
	sandboxtest.Must(t, err)
	t.Cleanup(func() { _ = p.spool.Close(context.Background()) })
	p.publisher = publishers.Sealing(p.spool, personal.Sealer{Members: chat.Personal, Keys: p.keys()}.Seal)
	p.drain = func() { sandboxtest.Must(t, p.spool.DrainAll(ctx, to)) }
	p.records = func() (records []awsevents.KinesisEventRecord) {
		all, err := stream.Records(ctx, client, "chat")
		sandboxtest.Must(t, err)
		for i, r := range all {
			records = append(records, streamtest.Record(i+1, r.PartitionKey, r.Data))
		}
		return records
	}
	return p
}

// publish publishes a message, by one of the two ways in turn.
func (p *pipeline) publish(encoded bool) {
	p.t.Helper()
	e := streamtest.Event(p.t, whole)
	var receipt publishers.Receipt
	var err error
	if encoded {
		receipt, err = p.publisher.EnqueueEncoded(p.t.Context(), e.PartitionKey, streamtest.Data(p.t, e))
	} else {
		receipt, err = p.publisher.Enqueue(p.t.Context(), e)
	}
	sandboxtest.Must(p.t, err)
	_, err = receipt.Wait(p.t.Context())
	sandboxtest.Must(p.t, err)
}

// read delivers the whole stream to a consumer, and returns what its handler was given.
func (p *pipeline) read(c *consumers.Consumer, got *[]consumers.Message) []consumers.Message {
	p.t.Helper()
	*got = nil
	if out, err := c.HandleKinesis(p.t.Context(), awsevents.KinesisEvent{Records: p.records()}); err != nil || len(out.BatchItemFailures) > 0 {
		p.t.Fatalf("%+v, %v", out, err)
	}
	return *got
}

func (p *pipeline) consumer(letters consumers.DeadLetters) (*consumers.Consumer, *[]consumers.Message) {
	got := &[]consumers.Message{}
	return newConsumer(p.t, consumers.Config{
		Registry: chat, DeadLetters: letters, Concurrency: 1,
		Open: personal.Sealer{Members: chat.Personal, Keys: p.keys()}.Open,
		Handler: func(_ context.Context, m consumers.Message) error {
			*got = append(*got, m)
			return nil
		},
	}), got
}

// TestAnErasedPersonIsNowhere follows messages from their publisher to a read model,
// before and after one of the two people is erased.
func TestAnErasedPersonIsNowhere(t *testing.T) {
	p, j := newPipeline(t), &journal{}
	p.publish(false)
	p.publish(true)
	inSpool, err := os.ReadFile(p.spoolFile)
	sandboxtest.Must(t, err)
	p.drain()
	dark := func(where string, b []byte) {
		t.Helper()
		if bytes.Contains(b, []byte(secretText)) || bytes.Contains(b, []byte(secretName)) || !bytes.Contains(b, []byte("message.sent")) {
			t.Errorf("%s has %q", where, b)
		}
	}
	dark("the spool", inSpool)
	for _, r := range p.records() {
		dark("the stream", r.Kinesis.Data)
	}
	c, got := p.consumer(j)
	for _, m := range p.read(c, got) {
		if m.Payload != whole || m.Withheld {
			t.Errorf("the handler is given %+v, withheld %v", m.Payload, m.Withheld)
		}
		dark("Message.Event", append(m.Event.Data, m.Event.Type...))
		dark("Message.Raw", m.Raw)
	}
	if had, err := p.keys().Erase(t.Context(), "user/1"); !had || err != nil {
		t.Fatal(had, err)
	}
	if all := p.read(c, got); len(all) != 2 || all[0].Payload != whole {
		t.Errorf("while the consumer's cache lasts: %+v", all)
	}
	p.erased.Add(int64(keytable.DefaultMaxAge))
	p.publish(false) // late, by a publisher that has the key no more
	p.drain()
	all := p.read(c, got)
	for _, m := range all {
		if want := (sent{From: "1", To: "2", Name: secretName}); m.Payload != want || !m.Withheld {
			t.Errorf("after the erasure: %+v, withheld %v", m.Payload, m.Withheld)
		}
	}
	if len(all) != 3 || len(j.letters) != 0 {
		t.Errorf("%d messages, dead letters %v", len(all), j.letters)
	}
}

// TestPersonalMembersThatDoNotOpen: what is the event's fault becomes a dead letter, with a
// reason that quotes nothing; what is not is delivered again.
func TestPersonalMembersThatDoNotOpen(t *testing.T) {
	p := newPipeline(t)
	sealer := personal.Sealer{Members: chat.Personal, Keys: p.keys()}
	good, err := sealer.Seal(t.Context(), streamtest.Event(t, whole))
	sandboxtest.Must(t, err)
	moved := good
	moved.ID = "another"
	unchecked := streamtest.Event(t, whole)
	unchecked.Data = bytes.Replace(unchecked.Data, []byte("23"), []byte(`"`+secretText+`"`), 1)
	unchecked, err = sealer.Seal(t.Context(), unchecked)
	sandboxtest.Must(t, err)
	deliver := func(e events.Event, open func(context.Context, events.Event) (events.Event, error)) (redelivered bool, j *journal, handled []consumers.Message) {
		t.Helper()
		j = &journal{}
		c := newConsumer(t, consumers.Config{Registry: chat, DeadLetters: j, Open: open, Handler: func(_ context.Context, m consumers.Message) error {
			handled = append(handled, m)
			return nil
		}})
		out, err := c.HandleKinesis(t.Context(), awsevents.KinesisEvent{Records: []awsevents.KinesisEventRecord{streamtest.Record(1, "1", streamtest.Data(t, e))}})
		sandboxtest.Must(t, err)
		return len(out.BatchItemFailures) > 0, j, handled
	}
	for what, e := range map[string]events.Event{"moved": moved, "sealed without a check": unchecked} {
		again, j, handled := deliver(e, sealer.Open)
		if again || len(handled) > 0 || len(j.letters) != 1 || strings.Contains(fmt.Sprintf("%s %s", j.letters[0].Reason, j.letters[0].Raw), secretText) {
			t.Errorf("%s: delivered again %v, handled %v, dead letters %+v", what, again, handled, j.letters)
		}
	}
	down := errors.New("the table is throttled")
	again, j, handled := deliver(good, func(_ context.Context, e events.Event) (events.Event, error) { return e, down })
	if !again || len(handled) > 0 || len(j.letters) != 0 {
		t.Errorf("throttled: delivered again %v, handled %v, dead letters %+v", again, handled, j.letters)
	}
	if again, _, handled := deliver(good, nil); again || len(handled) != 1 || !handled[0].Withheld || handled[0].Payload != (sent{From: "1", To: "2"}) {
		t.Errorf("without Open: delivered again %v, %+v", again, handled)
	}
}
