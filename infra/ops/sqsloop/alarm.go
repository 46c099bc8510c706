package sqsloop

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
)

// The states of an alarm.
const (
	stateAlarm = "ALARM"
	stateOK    = "OK"
)

// Alarm is a change of an alarm's state, as CloudWatch notifies SNS.
type Alarm struct {
	// ID is the alarm's ARN, or its name where that is all there is.
	ID string
	// Old and New are OK, ALARM or INSUFFICIENT_DATA.
	Old, New string
	// Changed is when the state changed. It distinguishes repeated and
	// late notifications from new ones.
	Changed time.Time
	// Account, Region and Queue name the queue that the alarm is about.
	Account, Region, Queue string
}

// alarmTime is how CloudWatch writes StateChangeTime.
const alarmTime = "2006-01-02T15:04:05.999999999-0700"

// ParseAlarm reads the notification of an alarm on a queue: one whose metric,
// or one of whose metrics, has the dimension QueueName. The region is that of
// the alarm's ARN, since the notification's own field has its name for people
// ("EU (Ireland)").
func ParseAlarm(record events.SNSEntity) (Alarm, error) {
	var p events.CloudWatchAlarmSNSPayload
	if err := json.Unmarshal([]byte(record.Message), &p); err != nil {
		return Alarm{}, fmt.Errorf("sqsloop: the notification is not of an alarm: %w", err)
	}
	if p.AlarmName == "" || p.NewStateValue == "" {
		return Alarm{}, errors.New("sqsloop: the notification is not of an alarm: AlarmName and NewStateValue are missing")
	}
	a := Alarm{ID: p.AlarmARN, Old: p.OldStateValue, New: p.NewStateValue, Changed: record.Timestamp, Account: p.AWSAccountID}
	a.ID = cmp.Or(a.ID, p.AlarmName)
	if p.StateChangeTime != "" {
		var err error
		if a.Changed, err = time.Parse(alarmTime, p.StateChangeTime); err != nil {
			return Alarm{}, fmt.Errorf("sqsloop: alarm %s: StateChangeTime: %w", p.AlarmName, err)
		}
	}
	if a.Changed.IsZero() {
		return Alarm{}, fmt.Errorf("sqsloop: alarm %s: no StateChangeTime, without which repeated notifications cannot be recognised", p.AlarmName)
	}
	a.Region = cmp.Or(region(p.AlarmARN), region(record.TopicArn))
	if a.Queue = queueDimension(p.Trigger); a.Queue == "" {
		return Alarm{}, fmt.Errorf("sqsloop: alarm %s has no dimension QueueName: it is not on a metric of a queue", p.AlarmName)
	}
	if a.Account == "" || a.Region == "" {
		return Alarm{}, fmt.Errorf("sqsloop: alarm %s: account %q and region %q are both needed", p.AlarmName, a.Account, a.Region)
	}
	return a, nil
}

// region is the fourth part of an ARN.
func region(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return ""
	}
	return parts[3]
}

func queueDimension(t events.CloudWatchAlarmTrigger) string {
	all := t.Dimensions
	for _, m := range t.Metrics {
		all = append(all, m.MetricStat.Metric.Dimensions...)
	}
	for _, d := range all {
		if d.Name == "QueueName" {
			return d.Value
		}
	}
	return ""
}

// QueueURL is the address of the alarm's queue at AWS.
func (a Alarm) QueueURL() string {
	suffix := "amazonaws.com"
	if strings.HasPrefix(a.Region, "cn-") {
		suffix += ".cn"
	}
	return fmt.Sprintf("https://sqs.%s.%s/%s/%s", a.Region, suffix, a.Account, a.Queue)
}

// queueAmong finds the alarm's queue among those that are configured, whatever their
// host is.
func (a Alarm) queueAmong(queues []Queue) (Queue, bool) {
	for _, q := range queues {
		if name, err := parseQueueURL(q.URL); err == nil && name.matches(a.Account, a.Region, a.Queue) {
			return q, true
		}
	}
	return Queue{}, false
}

// scalesUp reports whether a loop is to be added, scalesDown whether the reason for
// it has ended. From INSUFFICIENT_DATA to OK nothing was added before.
func (a Alarm) scalesUp() bool   { return a.New == stateAlarm && a.Old != stateAlarm }
func (a Alarm) scalesDown() bool { return a.New == stateOK && a.Old == stateAlarm }
