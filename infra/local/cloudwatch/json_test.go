package cloudwatch_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	sandbox "github.com/banyan-fig/banyan/infra/local/cloudwatch"
)

// TestJSON speaks as the AWS CLI does: the SDK for Go sends CBOR.
func TestJSON(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s, err := sandbox.New(sandbox.Config{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	defer server.Close()
	call := func(operation, in string, status int) (out map[string]any) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader(in))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-amz-json-1.0")
		r.Header.Set("X-Amz-Target", sandbox.Target+"."+operation)
		resp, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || resp.StatusCode != status {
			t.Fatalf("%s: %s, %v, %v", operation, resp.Status, out, err)
		}
		return out
	}
	call("PutMetricAlarm", `{"AlarmName":"a","MetricName":"Errors","Namespace":"N","ComparisonOperator":"GreaterThanThreshold","EvaluationPeriods":1,"Threshold":0}`, 200)
	call("SetAlarmState", `{"AlarmName":"a","StateValue":"ALARM","StateReason":"because"}`, 200)
	a := call("DescribeAlarms", `{"AlarmNames":["a"]}`, 200)["MetricAlarms"].([]any)[0].(map[string]any)
	if a["StateValue"] != "ALARM" || a["Threshold"] != 0.0 || a["StateUpdatedTimestamp"] != float64(now.Unix()) {
		t.Errorf("the alarm is %v", a)
	}
	call("PutMetricData", `{"Namespace":"N","MetricData":[{"MetricName":"In","Timestamp":1767323000,"Value":3},{"MetricName":"In","Value":4}]}`, 200)
	out := call("GetMetricData", `{"StartTime":1767322800,"EndTime":1767330000.5,"ScanBy":"TimestampAscending","MetricDataQueries":[{"Id":"q","MetricStat":{"Period":60,"Stat":"Sum","Metric":{"Namespace":"N","MetricName":"In"}}}]}`, 200)
	r := out["MetricDataResults"].([]any)[0].(map[string]any)
	if v, _ := json.Marshal([]any{r["Timestamps"], r["Values"]}); string(v) != "[[1767322980,1767323040],[3,4]]" {
		t.Errorf("read %s", v)
	}
	if out := call("SetAlarmState", `{"AlarmName":"b","StateValue":"OK","StateReason":""}`, 404); !strings.HasSuffix(out["__type"].(string), "#ResourceNotFound") {
		t.Errorf("an alarm that there is not: %v", out)
	}
	if out := call("SetAlarmState", `{"AlarmName":7}`, 400); !strings.HasSuffix(out["__type"].(string), "#SerializationException") {
		t.Errorf("a name that is a number: %v", out)
	}
	if out := call("ListDashboards", `{}`, 400); !strings.Contains(out["message"].(string), "ListDashboards") {
		t.Errorf("an operation that there is not: %v", out)
	}
}
