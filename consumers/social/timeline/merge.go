package timeline

import (
	"context"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/banyan-fig/banyan/consumers/social/readmodel"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

const (
	// maxRounds is how often a page reads on where what it read was deleted, or where one
	// celebrity wrote most of it.
	maxRounds = 4
	// parallel is how many requests of a page are in flight.
	parallel = 16
)

// merge is the page of a timeline in the making: what was written for the user and what
// the celebrities wrote whom the user follows, newest first.
type merge struct {
	r       *Reader
	user    string
	cards   map[string]card // of the authors met so far
	sources []*source
	items   []Item
	end     string // the last post looked at, "" when there are no more
}

// open begins at the post before. It reads what is certain to be needed for n posts.
func (r *Reader) open(ctx context.Context, user, before string, n int) (*merge, error) {
	entries := r.entries(user, before, n)
	m := &merge{r: r, user: user, cards: map[string]card{}, sources: []*source{entries}}
	var celebrities []string
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		celebrities, err = m.readUser(groupCtx)
		return err
	})
	group.Go(func() error { return entries.readOn(groupCtx) })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if m.cards[user].left {
		m.sources = nil
		return m, nil
	}
	for _, author := range celebrities {
		m.sources = append(m.sources, r.posts(author, before, (n+3)/4))
	}
	return m, nil
}

// readUser reads the user's card and lists the celebrities they follow.
func (m *merge) readUser(ctx context.Context) (celebrities []string, err error) {
	const others = 4 // items of a user: celebrity, floor, name, watermark
	in := partitionQuery(m.r.table, readmodel.PrefixUser+m.user)
	in.Limit = aws.Int32(others + MaxCelebrities)
	out, err := m.r.client.Query(ctx, in)
	if err != nil {
		return nil, err
	}
	m.cards[m.user] = card{}
	for _, item := range out.Items {
		sk := dynamo.StringOf(item, dynamo.AttrSK)
		if sk == skName {
			m.cards[m.user] = decodeCard(item)
		}
		if author, ok := strings.CutPrefix(sk, prefixMark); ok {
			celebrities = append(celebrities, author)
		}
	}
	return celebrities[:min(len(celebrities), MaxCelebrities)], nil
}

// read adds items until there are n, or no more, or too much was read.
func (m *merge) read(ctx context.Context, n int) error {
	for round := 0; round <= maxRounds && len(m.items) < n; round++ {
		if err := m.readOn(ctx); err != nil {
			return err
		}
		if err := m.show(ctx, m.dequeue(n-len(m.items))); err != nil {
			return err
		}
		if m.end == "" {
			return nil
		}
	}
	return nil
}

// readOn reads on the sources of which everything read is dequeued.
func (m *merge) readOn(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, s := range m.sources {
		if len(s.found) == 0 && s.more {
			group.Go(func() error { return s.readOn(ctx) })
		}
	}
	return group.Wait()
}

// dequeue removes the newest posts from the sources, n at most, as far as no source can
// have a newer one that was not read yet, without what is known not to show. Of a post in
// two sources the celebrity's counts, which is the later one.
func (m *merge) dequeue(n int) (found []candidate) {
	bound := ""
	for _, s := range m.sources {
		if s.more {
			bound = max(bound, s.horizon)
		}
	}
	for len(found) < n {
		newest := ""
		for _, s := range m.sources {
			if len(s.found) > 0 {
				newest = max(newest, s.found[0].PostID)
			}
		}
		if newest == "" || newest < bound {
			m.end = bound
			return found
		}
		var c candidate
		for _, s := range m.sources {
			if len(s.found) > 0 && s.found[0].PostID == newest {
				c, s.found = s.found[0], s.found[1:]
			}
		}
		if !m.cards[c.AuthorID].hides(c.PostID) {
			found, m.end = append(found, c), newest
		}
	}
	return found
}
