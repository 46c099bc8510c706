package deadletter_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/deadletter"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
)

// TestStreamsDoNotCollide: events of two streams with one sequence number, and one that was
// written before letters had a stream, are three letters.
func TestStreamsDoNotCollide(t *testing.T) {
	s := newStore(t, nil)
	var all []consumers.DeadLetter
	for i, stream := range []string{"", "arn:aws:kinesis:eu-west-1:000000000000:stream/a", "arn:aws:kinesis:eu-west-1:000000000000:stream/b"} {
		d := letter(1, random(40<<10+i)) // in chunks
		d.Stream = stream
		all = append(all, d)
		if err := s.Put(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	ids, err := s.At(t.Context(), "test", all[0].Position)
	if err != nil || len(ids) != len(all) {
		t.Fatalf("%d letters at the position, %v", len(ids), err)
	}
	cursor := ""
	for i, d := range all {
		l, err := s.Get(t.Context(), ids[i])
		if err != nil || !bytes.Equal(l.Raw, d.Raw) || l.Stream != d.Stream || l.ID() != deadletter.IDOf(d) {
			t.Errorf("letter %d: %d bytes of %q, %v", i, len(l.Raw), l.Stream, err)
		}
		p, err := s.List(t.Context(), "test", deadletter.ListOptions{Limit: 1, Cursor: cursor})
		if err != nil || len(p.Letters) != 1 || p.Letters[0].ID() != ids[i] {
			t.Errorf("page %d: %+v, %v", i, p, err)
		}
		cursor = p.Next
	}
	if err := s.Redrive(t.Context(), ids[1], func(context.Context, consumers.DeadLetter) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), ids[2]); err != nil {
		t.Fatal(err)
	}
	if p, err := s.List(t.Context(), "test", deadletter.ListOptions{}); err != nil || len(p.Letters) != 1 || p.Letters[0].ID() != ids[0] {
		t.Errorf("left: %+v, %v", p, err)
	}
}

// dying deletes only so many items.
type dying struct {
	*dynamodb.Client
	left int
}

var errDied = errors.New("died")

func (d *dying) DeleteItem(ctx context.Context, in *dynamodb.DeleteItemInput, o ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error) {
	if d.left--; d.left < 0 {
		return nil, errDied
	}
	return d.Client.DeleteItem(ctx, in, o...)
}

// TestDeleteIsFinished: wherever a deletion is interrupted, the letter is listed, is not
// taken for whole, and the next deletion leaves nothing.
func TestDeleteIsFinished(t *testing.T) {
	db := streamtest.NewDynamoDB(t)
	client, table := db.Client(nil), db.CreateTable(deadletter.TableInput)
	s := deadletter.New(client, table)
	d := letter(1, random(1<<20)) // three chunks
	for items := range 5 {
		if err := s.Put(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		err := deadletter.New(&dying{client, items}, table).Delete(t.Context(), deadletter.IDOf(d))
		if items < 4 {
			if !errors.Is(err, errDied) {
				t.Errorf("after %d items: %v", items, err)
			}
			page, err := s.List(t.Context(), "test", deadletter.ListOptions{})
			if err != nil || len(page.Letters) != 1 {
				t.Errorf("after %d items: listed %+v, %v", items, page, err)
			}
			l, err := s.Get(t.Context(), deadletter.IDOf(d))
			if whole := items == 0; whole != (err == nil) || whole && !bytes.Equal(l.Raw, d.Raw) {
				t.Errorf("after %d items: %d bytes, %v", items, len(l.Raw), err)
			}
			err = s.Delete(t.Context(), deadletter.IDOf(d))
			if err != nil {
				t.Errorf("the second deletion: %v", err)
			}
		} else if err != nil {
			t.Error(err)
		}
		out, err := client.Scan(t.Context(), &dynamodb.ScanInput{TableName: aws.String(table)})
		if err != nil || len(out.Items) > 0 {
			t.Errorf("after %d items: %d are left, %v", items, len(out.Items), err)
		}
		if _, err := s.Get(t.Context(), deadletter.IDOf(d)); !errors.Is(err, deadletter.ErrNotFound) {
			t.Errorf("got it: %v", err)
		}
	}
}

// TestStats counts by consumer what waits, and nothing else that is in the table.
func TestStats(t *testing.T) {
	db := streamtest.NewDynamoDB(t)
	client, table := db.Client(nil), db.CreateTable(deadletter.TableInput)
	s := deadletter.New(client, table)
	for n := 1; n <= 150; n++ {
		d := letter(n, random(n%2*400<<10))
		if n%3 == 0 {
			d.Consumer = "other"
		}
		if n%10 == 0 {
			d.EventType, d.Reason = "", "not JSON: ü"
		}
		d.At = d.At.AddDate(0, 0, n)
		if err := s.Put(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.WriteNote(t.Context(), "noted", consumers.Note{Batch: letter(1, nil).Position, From: letter(1, nil).Position}); err != nil {
		t.Fatal(err)
	}
	first := letter(1, nil)
	if err := s.Redrive(t.Context(), deadletter.IDOf(first), func(context.Context, consumers.DeadLetter) error { return nil }); err != nil {
		t.Fatal(err)
	}
	all, err := s.Stats(t.Context())
	if err != nil || len(all) != 2 || all[0].Consumer != "other" || all[1].Consumer != "test" {
		t.Fatalf("%+v, %v", all, err)
	}
	got := all[1]
	if got.Waiting != 99 || got.Redriven != 1 || !got.Oldest.Equal(first.At.AddDate(0, 0, 2)) || !got.Newest.Equal(first.At.AddDate(0, 0, 149)) {
		t.Errorf("%+v", got)
	}
	if got.Types["post.published"] != 89 || got.Types[""] != 10 || got.Reasons["reason 0"] != 89 || got.Reasons["not JSON: ü"] != 10 {
		t.Errorf("types %v, reasons %v", got.Types, got.Reasons)
	}
	if names := deadletter.ByCount(got.Types); len(names) != 2 || names[1] != "" {
		t.Errorf("by count: %q", names)
	}
}

// TestStatsAreBounded: reasons that all differ are counted under one name.
func TestStatsAreBounded(t *testing.T) {
	db := streamtest.NewDynamoDB(t)
	client, table := db.Client(nil), db.CreateTable(deadletter.TableInput)
	s := deadletter.New(client, table)
	for n := range 120 {
		d := letter(n+1, nil)
		d.Reason = string(rune('a'+n%26)) + string(rune('a'+n/26)) + " is wrong with order 17-4"
		if err := s.Put(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	all, err := s.Stats(t.Context())
	if err != nil || len(all) != 1 || len(all[0].Reasons) != 101 || all[0].Reasons[deadletter.Other] != 20 {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestListFilters(t *testing.T) {
	db := streamtest.NewDynamoDB(t)
	client, table := db.Client(nil), db.CreateTable(deadletter.TableInput)
	s := deadletter.New(client, table)
	for n := 1; n <= 9; n++ {
		d := letter(n, nil)
		d.At = streamtest.Start.AddDate(0, 0, n)
		if n%2 == 0 {
			d.EventType = "user.joined"
		}
		if err := s.Put(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	day := func(n int) deadletter.ListOptions {
		return deadletter.ListOptions{Since: streamtest.Start.AddDate(0, 0, n), Until: streamtest.Start.AddDate(0, 0, n+3)}
	}
	joined := day(3)
	joined.Type = "user.joined"
	for name, c := range map[string]struct {
		options deadletter.ListOptions
		want    int
	}{
		"type":     {deadletter.ListOptions{Type: "user.joined"}, 4},
		"contains": {deadletter.ListOptions{Contains: "reason 7"}, 1},
		"time":     {day(3), 3},
		"both":     {joined, 1},
		"none":     {deadletter.ListOptions{Contains: "reason 7", Type: "user.joined"}, 0},
	} {
		n := 0
		for c.options.Limit = 2; ; {
			p, err := s.List(t.Context(), "test", c.options)
			if err != nil {
				t.Fatal(err)
			}
			n += len(p.Letters)
			if c.options.Cursor = p.Next; p.Next == "" {
				break
			}
		}
		if n != c.want {
			t.Errorf("%s: %d letters, want %d", name, n, c.want)
		}
	}
}
