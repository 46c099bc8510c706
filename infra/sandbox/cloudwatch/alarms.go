package cloudwatch

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
)

// The types and states of alarms.
const (
	metricAlarm      = "MetricAlarm"
	compositeAlarm   = "CompositeAlarm"
	stateOK          = "OK"
	stateAlarm       = "ALARM"
	stateNothing     = "INSUFFICIENT_DATA"
	defaultPage      = 50
	mostPage         = 100
	mostDescribed    = 100
	longestName      = 255
	unchecked        = "Unchecked: Initial alarm creation"
	mostDeleted      = 100
	mostHistory      = 100
	longestReasonSet = 1023
)

// alarm is one of either type, as the API shows it.
type alarm struct {
	AlarmName                  string
	AlarmArn                   string
	AlarmDescription           string `json:",omitempty"`
	StateValue                 string
	StateReason                string
	StateUpdatedTimestamp      instant
	StateTransitionedTimestamp instant
	AlarmRule                  string      `json:",omitempty"`
	MetricName                 string      `json:",omitempty"`
	Namespace                  string      `json:",omitempty"`
	ComparisonOperator         string      `json:",omitempty"`
	EvaluationPeriods          int         `json:",omitempty"`
	Period                     int         `json:",omitempty"`
	Threshold                  *float64    `json:",omitempty"`
	Statistic                  string      `json:",omitempty"`
	Dimensions                 []dimension `json:",omitempty"`
	Metrics                    []query     `json:",omitempty"`

	kind string
}

func (s *Server) putMetricAlarm(in *alarm) (any, error) {
	if in.ComparisonOperator == "" || in.EvaluationPeriods < 1 || (in.MetricName == "") == (len(in.Metrics) == 0) {
		return nil, awsjson.Errorf("ValidationError", "an alarm needs ComparisonOperator, EvaluationPeriods, and either MetricName or Metrics")
	}
	in.AlarmRule = ""
	return s.put(*in, metricAlarm)
}

func (s *Server) putCompositeAlarm(in *alarm) (any, error) {
	if in.AlarmRule == "" {
		return nil, awsjson.Errorf("ValidationError", "a composite alarm needs AlarmRule")
	}
	return s.put(alarm{AlarmName: in.AlarmName, AlarmDescription: in.AlarmDescription, AlarmRule: in.AlarmRule}, compositeAlarm)
}

// put keeps the state of an alarm that is there, as CloudWatch does.
func (s *Server) put(a alarm, kind string) (any, error) {
	if a.AlarmName == "" || len(a.AlarmName) > longestName {
		return nil, awsjson.Errorf("ValidationError", "AlarmName has to have 1 to 255 characters")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, there := s.alarms[a.AlarmName]
	switch {
	case there && old.kind != kind:
		return nil, awsjson.Errorf("ValidationError", "an alarm named %s exists, of another type", a.AlarmName)
	case !there && len(s.alarms) >= maxAlarms:
		return nil, awsjson.Errorf("LimitExceeded", "the sandbox holds at most %d alarms", maxAlarms)
	}
	a.kind = kind
	a.AlarmArn = "arn:aws:cloudwatch:" + s.cfg.Region + ":" + s.cfg.Account + ":alarm:" + a.AlarmName
	a.StateValue, a.StateReason, a.StateUpdatedTimestamp = stateNothing, unchecked, at(s.cfg.Now())
	a.StateTransitionedTimestamp = a.StateUpdatedTimestamp
	if there {
		a.StateValue, a.StateReason, a.StateUpdatedTimestamp = old.StateValue, old.StateReason, old.StateUpdatedTimestamp
		a.StateTransitionedTimestamp = old.StateTransitionedTimestamp
	}
	s.alarms[a.AlarmName] = a
	return struct{}{}, nil
}

type describeInput struct {
	AlarmNames      []string
	AlarmNamePrefix string
	AlarmTypes      []string
	StateValue      string
	MaxRecords      int
	NextToken       string
}

type describeOutput struct {
	MetricAlarms    []alarm
	CompositeAlarms []alarm
	NextToken       string `json:",omitempty"`
}

// wants follows the API reference, DescribeAlarms: composite alarms are only told
// of where they are asked for.
func (in *describeInput) wants(a alarm) bool {
	types := in.AlarmTypes
	if len(types) == 0 {
		types = []string{metricAlarm}
	}
	return slices.Contains(types, a.kind) && strings.HasPrefix(a.AlarmName, in.AlarmNamePrefix) &&
		(len(in.AlarmNames) == 0 || slices.Contains(in.AlarmNames, a.AlarmName)) &&
		(in.StateValue == "" || in.StateValue == a.StateValue)
}

func (s *Server) describeAlarms(in *describeInput) (any, error) {
	switch {
	case len(in.AlarmNames) > 0 && in.AlarmNamePrefix != "":
		return nil, awsjson.Errorf("ValidationError", "AlarmNamePrefix and AlarmNames cannot be given together")
	case len(in.AlarmNames) > mostDescribed, in.MaxRecords < 0, in.MaxRecords > mostPage:
		return nil, awsjson.Errorf("ValidationError", "at most 100 names, and 1 to 100 records")
	}
	from := 0
	if in.NextToken != "" {
		var err error
		if from, err = strconv.Atoi(in.NextToken); err != nil || from < 0 {
			return nil, awsjson.Errorf("InvalidNextToken", "%q is no token of this sandbox", in.NextToken)
		}
	}
	size := in.MaxRecords
	size = cmp.Or(size, defaultPage)
	return s.page(in, from, size), nil
}

func (s *Server) page(in *describeInput, from, size int) describeOutput {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := describeOutput{MetricAlarms: []alarm{}, CompositeAlarms: []alarm{}}
	n := 0
	for _, name := range slices.Sorted(maps.Keys(s.alarms)) {
		a := s.alarms[name]
		if !in.wants(a) {
			continue
		}
		if n++; n <= from {
			continue
		}
		if n > from+size {
			out.NextToken = strconv.Itoa(from + size)
			break
		}
		if a.kind == compositeAlarm {
			out.CompositeAlarms = append(out.CompositeAlarms, a)
		} else {
			out.MetricAlarms = append(out.MetricAlarms, a)
		}
	}
	return out
}

type stateInput struct{ AlarmName, StateValue, StateReason string }

func (s *Server) setAlarmState(in *stateInput) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, there := s.alarms[in.AlarmName]
	switch {
	case !there:
		return nil, &awsjson.Error{Type: "ResourceNotFound", Message: "there is no alarm " + in.AlarmName, Status: 404}
	case in.StateValue != stateOK && in.StateValue != stateAlarm && in.StateValue != stateNothing:
		return nil, awsjson.Errorf("ValidationError", "StateValue %q is none of OK, ALARM, INSUFFICIENT_DATA", in.StateValue)
	case len(in.StateReason) > longestReasonSet:
		return nil, awsjson.Errorf("ValidationError", "StateReason has more than 1023 characters")
	}
	now := at(s.cfg.Now())
	if a.StateValue != in.StateValue {
		a.StateTransitionedTimestamp = now
		data := fmt.Sprintf(`{"oldState":{"stateValue":%q},"newState":{"stateValue":%q,"stateReason":%q}}`, a.StateValue, in.StateValue, in.StateReason)
		s.history = append(s.history[max(0, len(s.history)-mostHistory):], historyItem{a.AlarmName, "StateUpdate", data, now})
	}
	a.StateValue, a.StateReason, a.StateUpdatedTimestamp = in.StateValue, in.StateReason, now
	s.alarms[in.AlarmName] = a
	return struct{}{}, nil
}

// historyItem is a change of a state.
type historyItem struct {
	AlarmName, HistoryItemType, HistoryData string
	Timestamp                               instant
}

type historyInput struct {
	AlarmName string
	StartDate instant
}

// describeAlarmHistory tells of changes of state in one page, the newest first.
func (s *Server) describeAlarmHistory(in *historyInput) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []historyItem{}
	for _, item := range slices.Backward(s.history) {
		if item.AlarmName == in.AlarmName && !item.Timestamp.Before(in.StartDate.Time) {
			out = append(out, item)
		}
	}
	return struct{ AlarmHistoryItems []historyItem }{out}, nil
}

type deleteInput struct{ AlarmNames []string }

// deleteAlarms deletes all or none.
func (s *Server) deleteAlarms(in *deleteInput) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(in.AlarmNames) > mostDeleted {
		return nil, awsjson.Errorf("ValidationError", "at most 100 alarms at once")
	}
	for _, name := range in.AlarmNames {
		if _, there := s.alarms[name]; !there {
			return nil, &awsjson.Error{Type: "ResourceNotFound", Message: "there is no alarm " + name, Status: 404}
		}
	}
	for _, name := range in.AlarmNames {
		delete(s.alarms, name)
	}
	return struct{}{}, nil
}
