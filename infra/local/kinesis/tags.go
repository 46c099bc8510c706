package kinesis

import (
	"context"
	"maps"
	"slices"

	"github.com/banyan-fig/banyan/infra/local/awsjson"
)

const maxTags = 50

type tag struct{ Key, Value string }

func tooManyTags() error {
	return awsjson.Errorf("InvalidArgumentException", "A stream has at most %d tags", maxTags)
}

// resourceRef names a stream in the operations that tag any resource.
type resourceRef struct{ ResourceARN string }

func (r resourceRef) stream() streamRef { return streamRef{StreamARN: r.ResourceARN} }

// Resource implements awsjson.Resourceful.
func (r resourceRef) Resource() string { return r.stream().name() }

type addTagsInput struct {
	streamRef
	Tags map[string]string
}

func (s *Server) addTagsToStream(_ context.Context, in *addTagsInput) (*struct{}, error) {
	return nil, s.addTags(in.streamRef, in.Tags)
}

type tagResourceInput struct {
	resourceRef
	Tags map[string]string
}

func (s *Server) tagResource(_ context.Context, in *tagResourceInput) (*struct{}, error) {
	return nil, s.addTags(in.stream(), in.Tags)
}

func (s *Server) addTags(ref streamRef, tags map[string]string) error {
	st, err := s.locked(ref)
	if err != nil {
		return err
	}
	defer st.mu.Unlock()
	all := maps.Clone(st.tags)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, tags)
	if len(all) > maxTags {
		return tooManyTags()
	}
	st.tags = all
	return nil
}

type removeTagsInput struct {
	streamRef
	TagKeys []string
}

func (s *Server) removeTagsFromStream(_ context.Context, in *removeTagsInput) (*struct{}, error) {
	return nil, s.removeTags(in.streamRef, in.TagKeys)
}

type untagResourceInput struct {
	resourceRef
	TagKeys []string
}

func (s *Server) untagResource(_ context.Context, in *untagResourceInput) (*struct{}, error) {
	return nil, s.removeTags(in.stream(), in.TagKeys)
}

func (s *Server) removeTags(ref streamRef, keys []string) error {
	st, err := s.locked(ref)
	if err != nil {
		return err
	}
	defer st.mu.Unlock()
	for _, k := range keys {
		delete(st.tags, k)
	}
	return nil
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

type listTagsForResourceOutput struct{ Tags []tag }

func (s *Server) listTagsForResource(_ context.Context, in *resourceRef) (*listTagsForResourceOutput, error) {
	tags, err := s.tags(in.stream())
	return &listTagsForResourceOutput{tags}, err
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
