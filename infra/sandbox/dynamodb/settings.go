package dynamodb

import ()

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
		return timeToLiveInputEcho{}, invalid("1 validation error detected: Value null at 'timeToLiveSpecification' failed to satisfy " +
			"constraint: Member must not be null")
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
