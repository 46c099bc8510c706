package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
)

type tagsKey struct{}

// withTags carries the tags of a request to its response.
func withTags(ctx context.Context, tags map[string]string) context.Context {
	return context.WithValue(ctx, tagsKey{}, tags)
}

// remember keeps the tags of a scalable target once moto has named it.
func (f *front) remember(r *http.Response) error {
	tags, _ := r.Request.Context().Value(tagsKey{}).(map[string]string)
	if len(tags) == 0 || r.StatusCode != http.StatusOK {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var out struct{ ScalableTargetARN string }
	if json.Unmarshal(body, &out) == nil && out.ScalableTargetARN != "" {
		f.change("TagResource", request{ResourceARN: out.ScalableTargetARN, Tags: tags})
	}
	return nil
}
