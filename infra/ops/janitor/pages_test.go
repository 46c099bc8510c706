package janitor_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/banyan-fig/banyan/infra/ops/janitor"
	"github.com/banyan-fig/banyan/infra/ops/sweep"
)

// TestEmptyPages: Lambda may answer an empty page and have more; what keeps a
// version is then on the second.
func TestEmptyPages(t *testing.T) {
	w := newWorld(t, "AWS_ENDPOINT_URL_KINESIS="+stream(t, "events"))
	w.function("api", 6)
	w.alias("api", "live", "1")
	_, err := w.client.PutProvisionedConcurrencyConfig(t.Context(), &lambda.PutProvisionedConcurrencyConfigInput{
		FunctionName: aws.String("api"), Qualifier: aws.String("2"), ProvisionedConcurrentExecutions: aws.Int32(1),
	})
	w.must(err)
	_, err = w.client.CreateEventSourceMapping(t.Context(), &lambda.CreateEventSourceMappingInput{
		FunctionName: aws.String("api:3"), Enabled: aws.Bool(false), StartingPosition: types.EventSourcePositionLatest,
		EventSourceArn: aws.String("arn:aws:kinesis:us-east-1:000000000000:stream/events"),
	})
	w.must(err)
	arns := w.layer("lib", 4)
	_, err = w.client.UpdateFunctionConfiguration(t.Context(), &lambda.UpdateFunctionConfigurationInput{FunctionName: aws.String("api"), Layers: arns[:1]})
	w.must(err)
	pages := 0
	w.intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		list := r.Method == http.MethodGet && !strings.HasSuffix(r.URL.Path, "/policy") && !strings.Contains(r.URL.Path, "/layers/lib/versions/")
		query := r.URL.Query()
		if list && query.Get("Marker") == "" {
			_, _ = io.WriteString(rw, `{"NextMarker":"second"}`)
			return true
		}
		if list {
			pages++
			query.Del("Marker")
			r.URL.RawQuery = query.Encode()
		}
		return false
	})
	r := w.janitor(janitor.Config{Keep: 1}).Sweep(t.Context(), false)
	w.intercept(nil)
	if r.Failures > 0 || r.Versions != 2 || r.LayerVersions != 2 || pages < 8 {
		t.Errorf("%+v after %d second pages", r, pages)
	}
	same(t, "versions", w.versions("api"), []int{1, 2, 3, 6})
	same(t, "versions of a layer", w.layerVersions("lib"), []int64{1, 4})
}

// TestStrangeVersions: of unknown age, or with a number that would not name one
// version, nothing is deleted.
func TestStrangeVersions(t *testing.T) {
	for name, versions := range map[string]string{
		"no time":   `{"Version":"1"},{"Version":"2","LastModified":"yesterday"}`,
		"no number": `{"Version":"$LATEST","LastModified":"2020-01-01T00:00:00.000+0000"},{"Version":"","LastModified":"2020-01-01T00:00:00.000+0000"}`,
	} {
		w := newWorld(t)
		w.function("api", 1)
		w.intercept(func(rw http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/api/versions") {
				return false
			}
			_, _ = io.WriteString(rw, `{"Versions":[`+versions+`]}`)
			return true
		})
		r := w.janitor(janitor.Config{Keep: -1}).Sweep(t.Context(), false)
		if r.Versions != 0 || w.count("DeleteFunction") != 0 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// TestOneSweepAtATime: another one of the same janitor waits, and gives up with
// its context.
func TestOneSweepAtATime(t *testing.T) {
	w := newWorld(t)
	w.function("api", 3)
	begun, proceed := make(chan struct{}), make(chan struct{})
	w.intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/aliases") {
			w.intercept(nil)
			close(begun)
			<-proceed
		}
		return false
	})
	j := w.janitor(janitor.Config{Keep: 1, Reserve: time.Millisecond})
	done := make(chan janitor.Report)
	go func() { done <- j.Sweep(t.Context(), false) }()
	<-begun
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	listed := w.count("ListFunctions")
	if r := j.Sweep(ctx, false); r.Stopped != sweep.Deadline || r.Versions != 0 || w.count("ListFunctions") != listed {
		t.Errorf("beside another: %+v", r)
	}
	close(proceed)
	if r := <-done; r.Versions != 2 || r.Stopped != sweep.Done {
		t.Errorf("%+v", r)
	}
}
