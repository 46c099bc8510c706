package posts_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/services/jsonclient"
	"github.com/banyan-fig/banyan/services/social/internal/servicetest"
	"github.com/banyan-fig/banyan/services/social/plans"
	"github.com/banyan-fig/banyan/services/social/posts"
	"github.com/banyan-fig/banyan/services/social/posts/client"
	"github.com/banyan-fig/banyan/services/social/users/userstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// made is when posts are made, as their ids say.
var made = bson.NewObjectID().Timestamp().Add(123 * time.Millisecond).UTC()

func id(n int) string { return fmt.Sprintf("59b99db4cfa9a34d%08x", n) }

// eachOwner runs a test on a service whose entity is MongoDB's, and DynamoDB's.
func eachOwner(t *testing.T, test func(*testing.T, *userstest.Stream, *client.Client)) {
	for _, owner := range []ownership.Store{ownership.MongoDB, ownership.DynamoDB} {
		t.Run(string(owner), func(t *testing.T) {
			w, stream := servicetest.New(t)
			w.Own(t, plans.Posts, owner)
			test(t, stream, w.Posts(t))
		})
	}
}

// TestLifeOfAPost: it is published once, told again when repeated, and deleted.
func TestLifeOfAPost(t *testing.T) {
	eachOwner(t, func(t *testing.T, stream *userstest.Stream, c *client.Client) {
		ctx := t.Context()
		p, at, err := c.Publish(ctx, id(1), id(101), "hello", made)
		if err != nil || p.ID != id(1) || p.Author != id(101) || p.Text != "hello" || !p.At.Equal(made) {
			t.Fatalf("Publish = %+v, %v", p, err)
		}
		again, later, err := c.Publish(ctx, id(1), id(101), "hello", made)
		if err != nil || again != p || !at.Before(later) {
			t.Errorf("Publish again = %+v at %v behind %v, %v", again, later, at, err)
		}
		if _, _, err := c.Publish(ctx, id(1), id(101), "else", made); !errors.Is(err, jsonclient.ErrConflict) {
			t.Errorf("Publish another one = %v", err)
		}
		for what, text := range map[string]string{"nothing": " ", "too much": strings.Repeat("x", posts.MaxText+1)} {
			if _, _, err := c.Publish(ctx, id(2), id(101), text, made); !errors.Is(err, jsonclient.ErrInvalid) {
				t.Errorf("Publish %s = %v", what, err)
			}
		}
		if got, err := c.Get(ctx, id(1)); err != nil || got != p {
			t.Errorf("Get = %+v, %v", got, err)
		}
		stale := int64(7)
		if _, err := c.Do(ctx, jsonclient.Call{Method: http.MethodDelete, Path: "/v1/posts/" + id(1), IfVersion: &stale}); !errors.Is(err, jsonclient.ErrVersion) {
			t.Errorf("Delete another version = %v", err)
		}
		gone, err := c.Delete(ctx, id(1))
		if err != nil || !later.Before(gone) {
			t.Errorf("Delete = %v behind %v, %v", gone, later, err)
		}
		if _, err := c.Delete(ctx, id(1)); err != nil {
			t.Errorf("Delete again = %v", err)
		}
		if _, err := c.Get(ctx, id(1)); !errors.Is(err, jsonclient.ErrNotFound) {
			t.Errorf("Get what is deleted = %v", err)
		}
		var told []string
		for _, e := range stream.Events() {
			told = append(told, fmt.Sprint(e.Type, " ", e.Subject == "post/"+id(1) && e.PartitionKey == id(101)))
		}
		if want := []string{"post.published true", "post.published true", "post.deleted true"}; !slices.Equal(told, want) {
			t.Errorf("told %q", told)
		}
	})
}

// TestNewest: the posts of several authors are one list, newest first, in pages.
func TestNewest(t *testing.T) {
	eachOwner(t, func(t *testing.T, _ *userstest.Stream, c *client.Client) {
		ctx := t.Context()
		authors := []string{}
		for i := range 101 { // more than one request may name
			authors = append(authors, id(1000+i))
		}
		written := []string{authors[0], authors[100], authors[1]}
		for i := range 10 {
			if _, _, err := c.Publish(ctx, id(i), written[i%3], fmt.Sprint("post ", i), made); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := c.Publish(ctx, id(100), id(2000), "not asked for", made); err != nil {
			t.Fatal(err)
		}
		var got []string
		for before, pages := "", 1; ; pages++ {
			page, err := c.Newest(ctx, authors, before, 6)
			if err != nil || len(page.Posts) > 6 || pages > 2 {
				t.Fatalf("page %d: %d posts, %v", pages, len(page.Posts), err)
			}
			for _, p := range page.Posts {
				got = append(got, strings.TrimPrefix(p.Text, "post "))
			}
			if before = page.Next; before == "" {
				break
			}
		}
		if all := strings.Join(got, " "); all != "9 8 7 6 5 4 3 2 1 0" {
			t.Errorf("newest: %s", all)
		}
		for what, query := range map[string]string{
			"no author": "", "not an author": "?authors=x", "not a post": "?authors=" + id(1) + "&before=x", "too much": "?authors=" + id(1) + "&limit=101",
		} {
			if _, err := c.Do(ctx, jsonclient.Call{Method: http.MethodGet, Path: "/v1/posts" + query}); !errors.Is(err, jsonclient.ErrInvalid) {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

// TestDocumentsOfTheMonolith are listed and deleted as others are.
func TestDocumentsOfTheMonolith(t *testing.T) {
	w, stream := servicetest.New(t)
	oid, err := bson.ObjectIDFromHex(id(1))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2016, 11, 21, 9, 0, 0, 5e6, time.UTC)
	_, err = w.Mongo.Collection("posts").InsertOne(t.Context(), bson.D{
		{Key: "_id", Value: oid}, {Key: "author", Value: id(101)}, {Key: "text", Value: "old"}, {Key: "at", Value: at},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := w.Posts(t)
	if page, err := c.Newest(t.Context(), []string{id(101)}, "", 10); err != nil || len(page.Posts) != 1 || !page.Posts[0].At.Equal(at) {
		t.Errorf("Newest = %+v, %v", page, err)
	}
	if _, err := c.Delete(t.Context(), id(1)); err != nil {
		t.Error(err)
	}
	if all := stream.Events(); len(all) != 1 || all[0].Type != "post.deleted" || all[0].PartitionKey != id(101) {
		t.Errorf("told %+v", all)
	}
}
