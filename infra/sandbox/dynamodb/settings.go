package dynamodb

type timeToLive struct {
	AttributeName    string `json:",omitempty"`
	Enabled          *bool  `json:",omitempty"`
	TimeToLiveStatus string `json:",omitempty"`
}

type timeToLiveInput struct {
	TableName               string
	TimeToLiveSpecification *timeToLive
}

type timeToLiveOutput struct {
	TimeToLiveSpecification *timeToLive `json:",omitempty"`
	TimeToLiveDescription   *timeToLive `json:",omitempty"`
}

func (s *Server) updateTimeToLive(in *timeToLiveInput) (out timeToLiveOutput, err error) {
	t, err := s.named(in.TableName)
	if err != nil {
		return out, err
	}
	spec := in.TimeToLiveSpecification
	if spec == nil || spec.Enabled == nil || spec.AttributeName == "" {
		return out, invalid("1 validation error detected: Value null at 'timeToLiveSpecification' failed to satisfy constraint: Member must not be null")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case !*spec.Enabled:
		return out, notImplemented("switching a time to live off")
	case t.expiry != nil && t.expiry.attribute != spec.AttributeName:
		return out, invalid("TimeToLive is active on a different AttributeName: current AttributeName is %s", t.expiry.attribute)
	case t.expiry != nil:
		return out, invalid("TimeToLive is already enabled")
	}
	t.expiry = newExpiry(spec.AttributeName, t.items)
	t.nextExpiry.Store(t.expiry.next())
	return timeToLiveOutput{TimeToLiveSpecification: spec}, nil
}

func (s *Server) describeTimeToLive(in *timeToLiveInput) (timeToLiveOutput, error) {
	t, err := s.named(in.TableName)
	if err != nil {
		return timeToLiveOutput{}, err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.expiry == nil {
		return timeToLiveOutput{TimeToLiveDescription: &timeToLive{TimeToLiveStatus: "DISABLED"}}, nil
	}
	return timeToLiveOutput{TimeToLiveDescription: &timeToLive{AttributeName: t.expiry.attribute, TimeToLiveStatus: "ENABLED"}}, nil
}
