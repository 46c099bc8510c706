package janitor_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/banyan-fig/banyan/infra/ops/janitor"
	"github.com/banyan-fig/banyan/infra/ops/sweep"
	cloudwatchsandbox "github.com/banyan-fig/banyan/infra/sandbox/cloudwatch"
)

// metrics is a CloudWatch, and a client of it.
func metrics(t *testing.T, change ...func(*cloudwatch.Options)) (*cloudwatchsandbox.Server, *cloudwatch.Client) {
	t.Helper()
	server, err := cloudwatchsandbox.New(cloudwatchsandbox.Config{})
	if err != nil {
		t.Fatal(err)
	}
	served := httptest.NewServer(server)
	t.Cleanup(served.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return server, cloudwatch.New(cloudwatch.Options{
		Region: "us-east-1", BaseEndpoint: &served.URL, HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""), Retryer: sweep.Retryer(),
	}, change...)
}

// commits are a function with a version and an alias for each of so many commits, and
// live at the last.
func (w *world) commits(function string, n int) {
	w.t.Helper()
	w.function(function, n)
	for i := 1; i <= n; i++ {
		w.alias(function, fmt.Sprint("c", i), fmt.Sprint(i))
	}
	w.alias(function, "live", fmt.Sprint(n))
}

func (w *world) aliases(function string) string {
	w.t.Helper()
	out, err := w.client.ListAliases(w.t.Context(), &lambda.ListAliasesInput{FunctionName: &function})
	w.must(err)
	var names []string
	for _, a := range out.Aliases {
		names = append(names, *a.Name)
	}
	return strings.Join(names, " ")
}

// in40Days is the time at which the tests look at what was made now.
func in40Days() time.Time { return time.Now().Add(40 * 24 * time.Hour) }

// TestSARLambdaJanitor24OneAliasACommit: aliases kept all versions, so that nothing was
// ever deleted. Those that are old and unused go, and their versions with them.
func TestSARLambdaJanitor24OneAliasACommit(t *testing.T) {
	w := newWorld(t, "AWS_ENDPOINT_URL_KINESIS="+stream(t, "events"))
	w.commits("api", 9)
	_, err := w.client.PutProvisionedConcurrencyConfig(t.Context(), &lambda.PutProvisionedConcurrencyConfigInput{
		FunctionName: aws.String("api"), Qualifier: aws.String("c1"), ProvisionedConcurrentExecutions: aws.Int32(1),
	})
	w.must(err)
	_, err = w.client.CreateEventSourceMapping(t.Context(), &lambda.CreateEventSourceMappingInput{
		FunctionName: aws.String("api:c2"), Enabled: aws.Bool(false), StartingPosition: types.EventSourcePositionLatest,
		EventSourceArn: aws.String("arn:aws:kinesis:us-east-1:000000000000:stream/events"),
	})
	w.must(err)
	w.alias("api", "canary", "1", "3")
	record, traffic := metrics(t)
	for alias, days := range map[string]time.Duration{"c4": 28, "c5": 36} {
		at := in40Days().Add(-days * 24 * time.Hour)
		w.must(record.Record(at, "AWS/Lambda", "Invocations", 1, "FunctionName", "api", "Resource", "api:"+alias))
	}
	cfg := janitor.Config{Keep: 1, AliasAge: 30 * 24 * time.Hour, AliasKeep: 1, Traffic: traffic, Now: in40Days}
	if r := w.janitor(cfg).Sweep(t.Context(), true); r.Aliases != 5 || w.count("DeleteAlias") > 0 {
		t.Errorf("dry run: %+v", r)
	}
	r := w.janitor(cfg).Sweep(t.Context(), false)
	same(t, "aliases", w.aliases("api"), "c1 c2 c4 c9 canary live")
	same(t, "versions", w.versions("api"), []int{1, 2, 3, 4, 9})
	if r.Aliases != 5 || r.Versions != 4 || r.Failures > 0 || r.Stopped != sweep.Done || fmt.Sprint(r.Swept[0].Aliases) != "[c8 c7 c6 c5 c3]" {
		t.Errorf("%+v", r)
	}
	if r := w.janitor(cfg).Sweep(t.Context(), false); r.Aliases != 0 {
		t.Errorf("again: %+v", r)
	}
}

// TestAliasesStay that are young, few or not asked for.
func TestAliasesStay(t *testing.T) {
	w := newWorld(t)
	w.commits("api", 4)
	_, traffic := metrics(t)
	for name, cfg := range map[string]janitor.Config{
		"nothing is asked": {Now: in40Days},
		"young":            {Traffic: traffic, AliasAge: 41 * 24 * time.Hour, AliasKeep: 1, Now: in40Days},
		"few":              {Traffic: traffic, AliasAge: 30 * 24 * time.Hour, Now: in40Days},
		"named":            {Traffic: traffic, AliasAge: 30 * 24 * time.Hour, AliasKeep: 1, AliasExcept: []string{"c*", "live"}, Now: in40Days},
	} {
		if r := w.janitor(cfg).Sweep(t.Context(), false); r.Aliases != 0 || r.Failures > 0 || r.Stopped != sweep.Done {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if _, err := janitor.New(w.client, janitor.Config{AliasAge: 24 * time.Hour}); err == nil || !strings.Contains(err.Error(), "Traffic") {
		t.Errorf("without metrics: %v", err)
	}
}

// TestAnAliasThatMovesStays: between the look and the deletion somebody deploys with it.
func TestAnAliasThatMovesStays(t *testing.T) {
	w := newWorld(t)
	w.commits("api", 4)
	_, traffic := metrics(t)
	var once sync.Once
	w.intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/aliases/c2") && r.Method == http.MethodGet {
			once.Do(func() { w.move("api", "c2", "4") })
		}
		return false
	})
	w.janitor(janitor.Config{AliasAge: 30 * 24 * time.Hour, AliasKeep: 1, Traffic: traffic, Now: in40Days}).Sweep(t.Context(), false)
	same(t, "aliases", w.aliases("api"), "c2 c4 live")
}

// TestWithoutFiguresNoAliasGoes: an answer that is missing is not taken for no traffic.
func TestWithoutFiguresNoAliasGoes(t *testing.T) {
	w := newWorld(t)
	w.commits("api", 3)
	refusing := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(refusing.Close)
	_, traffic := metrics(t, func(o *cloudwatch.Options) { o.BaseEndpoint = &refusing.URL })
	j := w.janitor(janitor.Config{AliasAge: 30 * 24 * time.Hour, AliasKeep: 1, Traffic: traffic, Now: in40Days})
	if r := j.Sweep(t.Context(), false); r.Failures != 1 || r.Aliases != 0 {
		t.Errorf("%+v", r)
	}
	same(t, "aliases", w.aliases("api"), "c1 c2 c3 live")
}
