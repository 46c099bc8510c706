package dynamodb

import (
	"slices"
	"strings"
)

type timeToLive struct {
	AttributeName string `json:",omitempty"`
	Enabled       *bool  `json:",omitempty"`
}

type timeToLiveInput struct {
	TableName               string
	TimeToLiveSpecification *timeToLive
}

func (s *Server) updateTimeToLive(in *timeToLiveInput) (timeToLiveInputEcho, error) {
	t, err := s.named(in.TableName)
	if err != nil {
		return timeToLiveInputEcho{}, err
	}
	spec := in.TimeToLiveSpecification
	if spec == nil || spec.Enabled == nil || spec.AttributeName == "" {
		return timeToLiveInputEcho{}, invalid("1 validation error detected: Value null at 'timeToLiveSpecification' failed to satisfy constraint: Member must not be null")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case *spec.Enabled && t.expiry != nil && t.expiry.attribute != spec.AttributeName:
		return timeToLiveInputEcho{}, invalid("TimeToLive is active on a different AttributeName: current AttributeName is %s", t.expiry.attribute)
	case *spec.Enabled && t.expiry != nil:
		return timeToLiveInputEcho{}, invalid("TimeToLive is already enabled")
	case !*spec.Enabled && t.expiry == nil:
		return timeToLiveInputEcho{}, invalid("TimeToLive is already disabled")
	case *spec.Enabled:
		t.expiry = newExpiry(spec.AttributeName, t.items)
		t.nextExpiry.Store(t.expiry.next())
	default:
		t.expiry = nil
		t.nextExpiry.Store(never)
	}
	return timeToLiveInputEcho{*spec}, nil
}

type timeToLiveInputEcho struct{ TimeToLiveSpecification timeToLive }

type timeToLiveOutput struct {
	TimeToLiveDescription struct {
		TimeToLiveStatus string
		AttributeName    string `json:",omitempty"`
	}
}

func (s *Server) describeTimeToLive(in *tableInput) (timeToLiveOutput, error) {
	var out timeToLiveOutput
	t, err := s.named(in.TableName)
	if err != nil {
		return out, err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	out.TimeToLiveDescription.TimeToLiveStatus = "DISABLED"
	if t.expiry != nil {
		out.TimeToLiveDescription.TimeToLiveStatus = "ENABLED"
		out.TimeToLiveDescription.AttributeName = t.expiry.attribute
	}
	return out, nil
}

// describeContinuousBackups answers what is true of the sandbox: there are none.
func (s *Server) describeContinuousBackups(in *tableInput) (map[string]any, error) {
	if _, err := s.named(in.TableName); err != nil {
		return nil, err
	}
	return map[string]any{"ContinuousBackupsDescription": map[string]any{
		"ContinuousBackupsStatus":        "DISABLED",
		"PointInTimeRecoveryDescription": map[string]any{"PointInTimeRecoveryStatus": "DISABLED"},
	}}, nil
}

type tag struct{ Key, Value string }

type tagInput struct {
	ResourceArn string
	Tags        []tag
	TagKeys     []string
}

type tagOutput struct {
	Tags []tag `json:",omitempty"`
}

// tagged runs f on the tags of the table with the ARN.
func (s *Server) tagged(arn string, f func(tags map[string]string)) error {
	t := s.withARN(arn)
	if t == nil {
		return fail("ResourceNotFoundException", "Requested resource not found: ResourcArn: %s not found", arn)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	f(t.tags)
	return nil
}

func (s *Server) withARN(arn string) *table {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, t := range s.tables {
		if t.arn == arn {
			return t
		}
	}
	return nil
}

func (s *Server) tagResource(in *tagInput) (tagOutput, error) {
	return tagOutput{}, s.tagged(in.ResourceArn, func(tags map[string]string) {
		for _, t := range in.Tags {
			tags[t.Key] = t.Value
		}
	})
}

func (s *Server) untagResource(in *tagInput) (tagOutput, error) {
	return tagOutput{}, s.tagged(in.ResourceArn, func(tags map[string]string) {
		for _, key := range in.TagKeys {
			delete(tags, key)
		}
	})
}

func (s *Server) listTags(in *tagInput) (tagOutput, error) {
	var out tagOutput
	err := s.tagged(in.ResourceArn, func(tags map[string]string) {
		for k, v := range tags {
			out.Tags = append(out.Tags, tag{k, v})
		}
	})
	slices.SortFunc(out.Tags, func(a, b tag) int { return strings.Compare(a.Key, b.Key) })
	return out, err
}
