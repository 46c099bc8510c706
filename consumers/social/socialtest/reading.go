package socialtest

import (
	"context"
	"maps"
	"slices"

	"github.com/banyan-fig/banyan/consumers/social/timeline"
)

// DiffPages lists where what a reader answers, page by page of so many posts, is not as
// want, a fold, by user: a post, its text, its author's name, and the order. The cap must
// not have cut anything off.
func DiffPages(ctx context.Context, r *timeline.Reader, want Timelines, limit int) (all []Difference, err error) {
	for _, user := range slices.Sorted(maps.Keys(want)) {
		c := comparison{user: user}
		got, err := readPages(ctx, r, user, limit)
		if err != nil {
			return nil, err
		}
		found := make([]timeline.Entry, len(got))
		for i, item := range got {
			found[i] = timeline.Entry{PostID: item.PostID, AuthorID: item.AuthorID, Text: item.Text, PublishedAt: item.PublishedAt}
			c.text("name of "+item.AuthorID, want[item.AuthorID].Name, item.AuthorName)
			if i > 0 && item.PostID >= got[i-1].PostID {
				c.add(Twice, "post "+item.PostID, "before "+got[i-1].PostID, "after it")
			}
		}
		c.entries(entriesAbove("", want[user].Entries), entriesAbove("", found))
		all = append(all, c.all...)
	}
	return all, nil
}

func readPages(ctx context.Context, r *timeline.Reader, user string, limit int) (items []timeline.Item, err error) {
	for cursor := ""; ; {
		p, err := r.Read(ctx, user, cursor, limit)
		if err != nil {
			return nil, err
		}
		items = append(items, p.Items...)
		if cursor = p.Next; cursor == "" {
			return items, nil
		}
	}
}
