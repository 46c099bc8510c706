package kinesis

import (
	"context"
	"maps"
	"slices"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
)

const maxTags = 50

type tag struct{ Key, Value string }

func tooManyTags() error {
	return awsjson.Errorf("InvalidArgumentException", "A stream has at most %d tags", maxTags)
}

type addTagsInput struct {
	streamRef
	Tags map[string]string
}

func (s *Server) addTagsToStream(_ context.Context, in *addTagsInput) (*struct{}, error) {
	st, err := s.locked(in.streamRef)
	if err != nil {
		return nil, err
	}
	defer st.mu.Unlock()
	all := maps.Clone(st.tags)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, in.Tags)
	if len(all) > maxTags {
		return nil, tooManyTags()
	}
	st.tags = all
	return nil, nil
}

type removeTagsInput struct {
	streamRef
	TagKeys []string
}

func (s *Server) removeTagsFromStream(_ context.Context, in *removeTagsInput) (*struct{}, error) {
	st, err := s.locked(in.streamRef)
	if err != nil {
		return nil, err
	}
	defer st.mu.Unlock()
	for _, k := range in.TagKeys {
		delete(st.tags, k)
	}
	return nil, nil
}

type listTagsInput struct {
	streamRef
	ExclusiveStartTagKey string
	Limit                *int
}

type listTagsOutput struct {
	Tags        []tag
	HasMoreTags bool
}

func (s *Server) listTagsForStream(_ context.Context, in *listTagsInput) (*listTagsOutput, error) {
	limit, err := limitOf("Limit", in.Limit, maxTags, maxTags)
	if err != nil {
		return nil, err
	}
	tags, err := s.tags(in.streamRef)
	if err != nil {
		return nil, err
	}
	tags = slices.DeleteFunc(tags, func(t tag) bool { return t.Key <= in.ExclusiveStartTagKey && in.ExclusiveStartTagKey != "" })
	n := min(limit, len(tags))
	return &listTagsOutput{tags[:n], n < len(tags)}, nil
}

func (s *Server) tags(ref streamRef) ([]tag, error) {
	st, err := s.locked(ref)
	if err != nil {
		return nil, err
	}
	defer st.mu.Unlock()
	out := []tag{}
	for _, k := range slices.Sorted(maps.Keys(st.tags)) {
		out = append(out, tag{k, st.tags[k]})
	}
	return out, nil
}
