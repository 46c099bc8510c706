package subscribe

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/banyan-fig/banyan/infra/ops/sweep"
	"github.com/banyan-fig/banyan/infra/telemetry/emf"
)

// created reads an event of EventBridge. told is true for an event about a new group;
// the name is empty if that was refused.
func created(event json.RawMessage) (name string, told bool, err error) {
	var e struct {
		DetailType string `json:"detail-type"`
		Detail     struct {
			EventName         string `json:"eventName"`
			ErrorCode         string `json:"errorCode"`
			RequestParameters struct {
				LogGroupName string `json:"logGroupName"`
			} `json:"requestParameters"`
		} `json:"detail"`
	}
	if json.Unmarshal(event, &e) != nil || e.Detail.EventName != "CreateLogGroup" {
		return "", false, nil
	}
	if e.Detail.ErrorCode != "" {
		return "", true, nil
	}
	if e.Detail.RequestParameters.LogGroupName == "" {
		return "", true, errors.New("requestParameters.logGroupName is missing")
	}
	return e.Detail.RequestParameters.LogGroupName, true, nil
}

func (r Report) count(metrics *emf.Writer, function string, now time.Time) {
	throttled := 0.0
	if r.Stopped == sweep.Throttled {
		throttled = 1
	}
	figures := []emf.Metric{
		{Name: "LogGroupsSeen", Unit: emf.Count, Value: float64(r.Seen)},
		{Name: "LogGroupsFull", Unit: emf.Count, Value: float64(r.fulls)},
		{Name: "Failures", Unit: emf.Count, Value: float64(r.Failures)},
		{Name: "Throttled", Unit: emf.Count, Value: throttled},
		{Name: "Remaining", Unit: emf.Count, Value: float64(r.Remaining)},
	}
	if !r.DryRun {
		figures = append(figures,
			emf.Metric{Name: "LogGroupsSubscribed", Unit: emf.Count, Value: float64(r.Subscribed)},
			emf.Metric{Name: "RetentionsSet", Unit: emf.Count, Value: float64(r.Retained)})
	}
	metrics.Write(emf.Line{At: now, Dimensions: map[string]string{"Function": function}, Metrics: figures})
}
