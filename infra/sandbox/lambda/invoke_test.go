package lambda_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/banyan-fig/banyan/infra/eventually"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/lambda"
)

// A real binary gets its event, its context and the environment of Lambda.
func TestInvokeRunsTheBinary(t *testing.T) {
	w := newWorld(t, sandbox.Config{Region: "eu-west-1", Account: "123456789012"})
	w.function("echo", 7, map[string]string{"OWN": "mine"})
	if _, err := w.lambda.UpdateFunctionCode(t.Context(), &lambda.UpdateFunctionCodeInput{
		FunctionName: aws.String("echo"), ZipFile: whole(t),
	}); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OF_THE_HOST", "must not be seen")
	before := time.Now()
	out, err := w.lambda.Invoke(t.Context(), &lambda.InvokeInput{
		FunctionName: aws.String("echo"), LogType: types.LogTypeTail,
		Payload: encode(t, map[string]any{"echo": map[string]int{"n": 1}, "print": "hello log", "env": []string{
			"AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_REGION",
			"_HANDLER", "OWN", "AWS_ENDPOINT_URL_KINESIS", "AWS_ACCESS_KEY_ID", "LAMBDA_TASK_ROOT", "OF_THE_HOST", "*",
		}}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if out.FunctionError != nil || out.StatusCode != 200 || *out.ExecutedVersion != "$LATEST" {
		t.Fatalf("answered %d, error %v, version %v: %s", out.StatusCode, out.FunctionError, out.ExecutedVersion, out.Payload)
	}
	got := parse[described](t, out.Payload)
	want := map[string]string{
		"AWS_LAMBDA_FUNCTION_NAME": "echo", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
		"AWS_REGION": "eu-west-1", "_HANDLER": "bootstrap", "OWN": "mine", "OF_THE_HOST": "", "AWS_ACCESS_KEY_ID": "sandbox",
	}
	for name, value := range want {
		if got.Env[name] != value {
			t.Errorf("%s is %q, not %q", name, got.Env[name], value)
		}
	}
	if got.Env["AWS_ENDPOINT_URL_KINESIS"] == "" || got.Env["LAMBDA_TASK_ROOT"] == "" {
		t.Errorf("missing variables: %v", got.Env)
	}
	if string(got.Echo) != `{"n":1}` || got.ARN != "arn:aws:lambda:eu-west-1:123456789012:function:echo" {
		t.Errorf("got %+v", got)
	}
	if due := before.Add(7 * time.Second).UnixMilli(); got.DeadlineMS < due || got.DeadlineMS > due+10_000 {
		t.Errorf("the deadline is %d, not about %d", got.DeadlineMS, due)
	}
	if ok, _ := regexp.MatchString(`^Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0$`, got.Trace); !ok {
		t.Errorf("the trace id is %q", got.Trace)
	}
	log, err := base64.StdEncoding.DecodeString(*out.LogResult)
	if err != nil {
		t.Fatal(err)
	}
	ordered := regexp.MustCompile(`(?s)START RequestId: ` + got.RequestID + ` Version: \$LATEST\nhello log\nEND RequestId: ` +
		got.RequestID + `\nREPORT RequestId: ` + got.RequestID + `\tDuration: [0-9.]+ ms\tBilled Duration: \d+ ms\tMemory Size: 128 MB`)
	if !ordered.Match(log) {
		t.Errorf("the log is:\n%s", log)
	}
	if !strings.Contains(string(w.host.Log("echo")), "hello log") {
		t.Error("the host kept no log")
	}
}

// All functions' output goes to one writer, line by line and by name, and the
// host keeps a bounded part of it.
func TestLogsAreBoundedAndPassedOn(t *testing.T) {
	var out lockedBuffer
	w := newWorld(t, sandbox.Config{Log: &out, LogSize: 2000})
	w.function("talks", 60, nil)
	for n := range 40 {
		w.invoke("talks", map[string]any{"print": fmt.Sprintf("line %d\nand more", n)})
	}
	kept := w.host.Log("talks")
	if len(kept) > 2000 || !strings.Contains(string(kept), "line 39\nand more\n") || strings.Contains(string(kept), "line 0\n") {
		t.Errorf("kept %d bytes: %s", len(kept), kept)
	}
	for n := range 40 {
		if want := fmt.Sprintf("talks: line %d\ntalks: and more\ntalks: END ", n); !strings.Contains(out.String(), want) {
			t.Fatalf("%q is not in the log", want)
		}
	}
	if w.host.Log("nobody") != nil {
		t.Error("a log of no function")
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// An environment is reused while it is idle, and used by one invocation at a
// time.
func TestEnvironmentsAreReused(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	out := w.function("reused", 60, nil)
	for range 5 {
		w.invoke("reused", map[string]int{})
	}
	if n := len(lines(t, out, "starts")); n != 1 {
		t.Errorf("%d processes for five invocations in a row", n)
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { // until the host is closed
			_, _ = w.lambda.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("reused"), Payload: []byte(`{"sleepMs":60000}`)})
		})
	}
	eventually.True(t, "three invocations at a time have three processes", func() bool { return len(lines(t, out, "starts")) == 3 })
	if err := w.host.Close(t.Context()); err != nil {
		t.Error(err)
	}
	wg.Wait()
}

func TestIdleEnvironmentsAreEnded(t *testing.T) {
	w := newWorld(t, sandbox.Config{IdleTimeout: 50 * time.Millisecond})
	out := w.function("idle", 60, nil)
	w.invoke("idle", map[string]int{})
	pid := pids(t, out)[0]
	eventually.True(t, "the idle process is gone", func() bool { return !alive(pid) })
	w.invoke("idle", map[string]int{})
}

func pids(t testing.TB, dir string) []int {
	t.Helper()
	var out []int
	for _, l := range lines(t, dir, "starts") {
		pid, err := strconv.Atoi(l)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, pid)
	}
	return out
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// The ways to fail, as a caller sees them.
func TestFailuresOfFunctions(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	out, slow := w.function("fails", 60, nil), w.function("slow", 1, nil)
	for _, c := range []struct {
		name, kind, message string
		request             map[string]any
	}{
		{"error", "errorString", "^deliberate$", map[string]any{"error": "deliberate"}},
		{"panic", "string", "^asked to$", map[string]any{"panic": true}},
		{"exit", "Runtime.ExitError", "^RequestId: [0-9a-f-]+ Error: Runtime exited with error: exit status 9$", map[string]any{"exit": 9}},
		{"timeout", "Sandbox.Timedout", `^RequestId: [0-9a-f-]+ Error: Task timed out after 1\.00 seconds$`, map[string]any{"sleepMs": 60_000}},
		{"large", "Function.ResponseSizeTooLarge", "exceeded maximum allowed payload size", map[string]any{"large": 7 << 20}},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := map[bool]string{false: "fails", true: "slow"}[c.name == "timeout"]
			got := w.invoke(name, c.request)
			if got.FunctionError == nil || *got.FunctionError != "Unhandled" || got.StatusCode != 200 {
				t.Fatalf("the error is %v: %s", got.FunctionError, got.Payload)
			}
			f := parse[failure](t, got.Payload)
			if ok, _ := regexp.MatchString(c.message, f.Message); !ok || f.Type != c.kind {
				t.Errorf("got %+v", f)
			}
			eventually.True(t, "invocations succeed again", func() bool { return w.invoke(name, map[string]any{}).FunctionError == nil })
		})
	}
	if !strings.Contains(string(w.host.Log("slow")), "Task timed out after 1.00 seconds") {
		t.Error("the timeout is not in the log")
	}
	for _, of := range []string{out, slow} {
		for _, pid := range pids(t, of)[:len(pids(t, of))-1] {
			if alive(pid) {
				t.Errorf("process %d is still there", pid)
			}
		}
	}
}

func TestFailuresOfInitialisation(t *testing.T) {
	w := newWorld(t, sandbox.Config{InitTimeout: time.Minute})
	w.function("exits", 60, map[string]string{"INIT": "exit"})
	if f := parse[failure](t, w.invoke("exits", nil).Payload); f.Type != "Runtime.ExitError" || !strings.HasSuffix(f.Message, "exit status 3") {
		t.Errorf("got %+v", f)
	}
	hasty := newWorld(t, sandbox.Config{InitTimeout: 200 * time.Millisecond})
	hasty.function("hangs", 1, map[string]string{"INIT": "hang"})
	if f := parse[failure](t, hasty.invoke("hangs", nil).Payload); f.Type != "Sandbox.Timedout" {
		t.Errorf("got %+v", f)
	}
	out := w.function("once", 60, map[string]string{"INIT": "once"})
	if got := w.invoke("once", map[string]int{}); got.FunctionError != nil || len(lines(t, out, "starts")) != 2 {
		t.Errorf("the initialisation was not tried again: %s", got.Payload)
	}
	for name, mode := range map[string]os.FileMode{"bootstrap": 0o644, "other": 0o755} {
		w.create(t, "none-"+name, archive(t, name, []byte("#!/bin/sh\n"), mode))
		if f := parse[failure](t, w.invoke("none-"+name, nil).Payload); f.Type != "Runtime.InvalidEntrypoint" {
			t.Errorf("%s: got %+v", name, f)
		}
	}
}

func (w *world) create(t *testing.T, name string, code []byte) {
	t.Helper()
	_, err := w.lambda.CreateFunction(t.Context(), &lambda.CreateFunctionInput{
		FunctionName: &name, Role: aws.String(role), Handler: aws.String("h"), Runtime: types.RuntimeProvidedal2023,
		Code: &types.FunctionCode{ZipFile: code},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What a function reports of its own initialisation is what the caller gets.
func TestReportedInitError(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	w.function("reports", 60, map[string]string{"INIT": "report"})
	got := w.invoke("reports", nil)
	if f := parse[failure](t, got.Payload); got.FunctionError == nil || f.Type != "Function.Config" || f.Message != "no table" {
		t.Errorf("got %s", got.Payload)
	}
}

// The Runtime API answers mistakes as documented, and the invocation survives
// them.
func TestRuntimeAPIAnswersMistakes(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	out := w.function("by-hand", 60, map[string]string{"INIT": "by hand"})
	if got := w.invoke("by-hand", nil); string(got.Payload) != `"by hand"` {
		t.Errorf("got %s", got.Payload)
	}
	want := "200 403 400 403 202 400 404"
	if got := strings.Join(lines(t, out, "statuses"), " "); got != want {
		t.Errorf("statuses %s, not %s", got, want)
	}
}

// occupy runs a function of its own, which takes all of a host's concurrency if that
// is one, until free ends its process.
func (w *world) occupy() (free func()) {
	w.t.Helper()
	out := w.function("occupying", 60, nil)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = w.lambda.Invoke(w.t.Context(), &lambda.InvokeInput{FunctionName: aws.String("occupying"), Payload: []byte(`{"sleepMs":60000}`)})
	}()
	eventually.True(w.t, "the occupying function runs", func() bool { return len(lines(w.t, out, "calls")) == 1 })
	return func() {
		if err := syscall.Kill(pids(w.t, out)[0], syscall.SIGKILL); err != nil {
			w.t.Fatal(err)
		}
		<-ended
	}
}

func TestConcurrencyIsTheLimit(t *testing.T) {
	w := newWorld(t, sandbox.Config{Concurrency: 1})
	w.function("one", 60, nil)
	defer w.occupy()()
	_, err := w.lambda.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("one")})
	var throttle *types.TooManyRequestsException
	if !errors.As(err, &throttle) || throttle.Reason != types.ThrottleReasonConcurrentInvocationLimitExceeded {
		t.Errorf("the second invocation: %v", err)
	}
}

func isCode(err error, code string) bool {
	var e smithy.APIError
	return errors.As(err, &e) && e.ErrorCode() == code
}

func TestLimitsOfPayloads(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	w.function("limits", 60, nil)
	for _, c := range []struct {
		name, code string
		kind       types.InvocationType
		payload    []byte
	}{
		{"synchronous", "RequestTooLargeException", "", []byte(`"` + strings.Repeat("x", 6<<20) + `"`)},
		{"as an event", "RequestTooLargeException", "Event", []byte(`"` + strings.Repeat("x", 1<<20) + `"`)},
		{"not JSON", "InvalidRequestContentException", "", []byte(`{`)},
	} {
		_, err := w.lambda.Invoke(t.Context(), &lambda.InvokeInput{
			FunctionName: aws.String("limits"), InvocationType: c.kind, Payload: c.payload,
		})
		if !isCode(err, c.code) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	full := w.invoke("limits", map[string]any{"large": 6<<20 - 1024})
	if full.FunctionError != nil || len(full.Payload) < 6<<20-1024 {
		t.Errorf("an answer of just 6 MB failed: %.200s", full.Payload)
	}
}

// An event is run later, and again twice where the function fails.
func TestEventsAreRetriedTwice(t *testing.T) {
	w := newWorld(t, sandbox.Config{AsyncRetry: 5 * time.Millisecond})
	out := w.function("events", 60, nil)
	for _, request := range []string{`{}`, `{"error":"always"}`} {
		accepted, err := w.lambda.Invoke(t.Context(), &lambda.InvokeInput{
			FunctionName: aws.String("events"), InvocationType: types.InvocationTypeEvent, Payload: []byte(request),
		})
		if err != nil || accepted.StatusCode != 202 {
			t.Fatalf("%v, %v", accepted, err)
		}
	}
	eventually.True(t, "the failing event is discarded", func() bool {
		return strings.Contains(string(w.host.Log("events")), "discarded after 3 attempts")
	})
	counts := map[string]int{}
	for _, l := range lines(t, out, "calls") {
		counts[l]++
	}
	if counts[`{}`] != 1 || counts[`{"error":"always"}`] != 3 {
		t.Errorf("calls: %v", counts)
	}
}

// What an alias or function says of events holds, and its queue is told of those
// given up on.
func TestEventsAreGivenUpOn(t *testing.T) {
	w := newWorld(t, sandbox.Config{AsyncRetry: 5 * time.Millisecond})
	out := w.function("events", 60, nil)
	queue, name := w.queue("dead"), aws.String("events")
	set, err := w.lambda.PutFunctionEventInvokeConfig(t.Context(), &lambda.PutFunctionEventInvokeConfigInput{
		FunctionName: name, MaximumRetryAttempts: aws.Int32(1), MaximumEventAgeInSeconds: aws.Int32(60),
		DestinationConfig: &types.DestinationConfig{OnFailure: &types.OnFailure{Destination: aws.String(queuesARN + "dead")}},
	})
	if err != nil || *set.MaximumRetryAttempts != 1 || *set.MaximumEventAgeInSeconds != 60 {
		t.Fatal(set, err)
	}
	if _, err := w.lambda.Invoke(t.Context(), &lambda.InvokeInput{
		FunctionName: name, InvocationType: types.InvocationTypeEvent, Payload: []byte(`{"error":"always"}`),
	}); err != nil {
		t.Fatal(err)
	}
	var messages []sqstypes.Message
	eventually.True(t, "the queue is told", func() bool {
		got, err := w.sqs.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &queue})
		if err == nil {
			messages = got.Messages
		}
		return err == nil && len(messages) == 1
	})
	got := parse[map[string]any](t, []byte(*messages[0].Body))
	request, response := got["requestContext"].(map[string]any), got["responseContext"].(map[string]any)
	if request["condition"] != "RetriesExhausted" || request["approximateInvokeCount"] != 2. || request["requestId"] == "" ||
		request["functionArn"] != "arn:aws:lambda:us-east-1:000000000000:function:events:$LATEST" ||
		response["functionError"] != "Unhandled" || response["executedVersion"] != "$LATEST" || response["statusCode"] != 200. ||
		got["requestPayload"].(map[string]any)["error"] != "always" || got["responsePayload"].(map[string]any)["errorMessage"] != "always" {
		t.Errorf("got %s", *messages[0].Body)
	}
	if n := len(lines(t, out, "calls")); n != 2 {
		t.Errorf("%d calls", n)
	}
	topic := aws.String("arn:aws:sns:us-east-1:000000000000:t")
	for says, in := range map[string]lambda.PutFunctionEventInvokeConfigInput{
		"'maximumRetryAttempts'":     {MaximumRetryAttempts: aws.Int32(3)},
		"'maximumEventAgeInSeconds'": {MaximumEventAgeInSeconds: aws.Int32(59)},
		"on-failure":                 {DestinationConfig: &types.DestinationConfig{OnFailure: &types.OnFailure{Destination: topic}}},
		"on-success":                 {DestinationConfig: &types.DestinationConfig{OnSuccess: &types.OnSuccess{Destination: topic}}},
		"Function not found":         {FunctionName: aws.String("none")},
	} {
		if in.FunctionName == nil {
			in.FunctionName = name
		}
		if _, err := w.lambda.PutFunctionEventInvokeConfig(t.Context(), &in); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}

func TestConditionsOfGivingUp(t *testing.T) {
	for _, c := range []struct {
		retries, failures int
		age               time.Duration
		want              string
	}{
		{2, 2, time.Second, ""}, {2, 3, time.Second, "RetriesExhausted"}, {0, 1, time.Second, "RetriesExhausted"},
		{2, 1, 61 * time.Second, "EventAgeExceeded"}, {0, 0, time.Minute, ""}, {0, 0, 61 * time.Second, "EventAgeExceeded"},
	} {
		if got := sandbox.EventCondition(c.retries, time.Minute, c.failures, c.age); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func TestQueueOfEventsIsBounded(t *testing.T) {
	w := newWorld(t, sandbox.Config{AsyncQueue: 2})
	w.function("bounded", 60, nil)
	for n := range 3 {
		_, err := w.lambda.Invoke(t.Context(), &lambda.InvokeInput{
			FunctionName: aws.String("bounded"), InvocationType: types.InvocationTypeEvent, Payload: []byte(`{"sleepMs":60000}`),
		})
		if refused := isCode(err, "TooManyRequestsException"); refused != (n == 2) {
			t.Errorf("event %d: %v", n, err)
		}
	}
}

// Close ends what runs, and what that started, and leaves nothing behind.
func TestCloseEndsRunningFunctions(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, sandbox.Config{Dir: dir})
	out := w.function("runs", 60, nil)
	script := "#!/bin/sh\nsleep 60 & echo $! >> \"$OUT/starts\"\nsleep 60\n"
	w.create(t, "shell", archive(t, "bootstrap", []byte(script), 0o755))
	_, err := w.lambda.UpdateFunctionConfiguration(t.Context(), &lambda.UpdateFunctionConfigurationInput{
		FunctionName: aws.String("shell"), Environment: &types.Environment{Variables: map[string]string{"OUT": out}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, name := range []string{"runs", "shell"} {
		wg.Go(func() {
			_, err := w.lambda.Invoke(t.Context(), &lambda.InvokeInput{
				FunctionName: &name, Payload: []byte(`{"sleepMs":60000}`),
			})
			if !isCode(err, "ServiceException") {
				t.Errorf("%s: a function that was ended answered %v", name, err)
			}
		})
	}
	eventually.True(t, "both run", func() bool { return len(lines(t, out, "starts")) == 2 })
	begin := time.Now()
	if err := w.host.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("closing took %s", took)
	}
	wg.Wait()
	for _, pid := range pids(t, out) {
		if alive(pid) && !zombie(pid) {
			t.Errorf("process %d is still there", pid)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := w.lambda.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("runs")}); !isCode(err, "ServiceException") {
		t.Errorf("a closed host answered: %v", err)
	}
}

// zombie says whether a process is dead and only waits for its parent, which
// for an orphan in a container may be nobody.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(stat), ") Z ")
}

func TestInjectedFaults(t *testing.T) {
	var next fault.Fault
	w := newWorld(t, sandbox.Config{Fault: func(string) fault.Fault { return next }})
	out := w.function("faulty", 60, nil)
	for _, c := range []struct {
		fault fault.Fault
		code  string
		ran   int
	}{
		{fault.Fault{Kind: fault.Throttle}, "TooManyRequestsException", 0},
		{fault.Fault{Kind: fault.TimeoutBefore}, "ServiceException", 0},
		{fault.Fault{Kind: fault.Internal}, "ServiceException", 0},
		{fault.Fault{Kind: fault.TimeoutAfter}, "ServiceException", 1},
		{fault.Fault{Kind: fault.Late, Delay: 30 * time.Millisecond}, "", 1},
	} {
		next = c.fault
		had, begin := len(lines(t, out, "calls")), time.Now()
		_, err := w.lambda.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("faulty")})
		if (c.code == "") != (err == nil) || err != nil && !isCode(err, c.code) {
			t.Errorf("%s: %v", c.fault.Kind, err)
		}
		if ran := len(lines(t, out, "calls")) - had; ran != c.ran {
			t.Errorf("%s: the function ran %d times", c.fault.Kind, ran)
		}
		if time.Since(begin) < c.fault.Delay {
			t.Errorf("%s: not late", c.fault.Kind)
		}
	}
	next = fault.Fault{Kind: fault.Partial, Seed: 1}
	f := parse[failure](t, w.invoke("faulty", map[string]int{"sleepMs": 2000}).Payload)
	if f.Type != "Runtime.ExitError" || !strings.HasSuffix(f.Message, "signal: killed") {
		t.Errorf("a killed process: %+v", f)
	}
}
