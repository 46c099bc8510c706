package timeline

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/infra/dynamo"
)

// candidate is a post that may show.
type candidate struct {
	Entry
	lookup bool // its text is in the post only
}

// source is a query that is read on as needed.
type source struct {
	client  ReaderClient
	author  string // "": of anybody
	in      *dynamodb.QueryInput
	decode  func(dynamo.Item) (c candidate, ok bool, err error)
	found   []candidate // and not dequeued, newest first
	more    bool
	horizon string // the last post read
}

// entries are what was written for the user.
func (r *Reader) entries(user, before string, n int) *source {
	return r.source(prefixTimeline+user, before, n, true, func(item dynamo.Item) (candidate, bool, error) {
		author := dynamo.StringOf(item, attrAuthor)
		if _, inline := item[attrAt]; !inline {
			return candidate{Entry{PostID: dynamo.StringOf(item, dynamo.AttrSK), AuthorID: author}, true}, true, nil
		}
		e, err := decode(item, author)
		return candidate{Entry: e}, true, err
	})
}

// posts are those of a celebrity.
func (r *Reader) posts(author, before string, n int) *source {
	s := r.source(prefixPosts+author, before, n, false, func(item dynamo.Item) (candidate, bool, error) {
		e, ok, err := DecodePost(item)
		return candidate{Entry: e}, ok, err
	})
	s.author = author
	return s
}

func (r *Reader) source(
	pk, before string, n int, consistent bool, decode func(dynamo.Item) (candidate, bool, error),
) *source {
	in := partitionQuery(r.table, pk)
	in.ScanIndexForward, in.Limit, in.ConsistentRead = aws.Bool(false), aws.Int32(int32(n)), &consistent
	if before != "" {
		in.ExclusiveStartKey = dynamo.Key(pk, before)
	}
	return &source{client: r.client, in: in, decode: decode, more: true}
}

// readOn reads the next posts; more of them each time, since each time most of them were in
// vain or this is the source of most of the page.
func (s *source) readOn(ctx context.Context) error {
	out, err := s.client.Query(ctx, s.in)
	if err != nil {
		return err
	}
	for _, item := range out.Items {
		c, ok, err := s.decode(item)
		if err != nil {
			return err
		}
		if ok {
			s.found = append(s.found, c)
		}
	}
	if len(out.Items) > 0 {
		s.horizon = dynamo.StringOf(out.Items[len(out.Items)-1], dynamo.AttrSK)
	}
	s.in.ExclusiveStartKey, s.more = out.LastEvaluatedKey, len(out.LastEvaluatedKey) > 0
	*s.in.Limit = min(*s.in.Limit*2, MaxLimit+1)
	return nil
}
