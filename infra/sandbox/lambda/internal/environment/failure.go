package environment

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"
)

// Unhandled is the value of X-Amz-Function-Error for every failure of a
// function on an OS-only runtime.
const Unhandled = "Unhandled"

// failurePayload is the error object a caller gets as the payload (Lambda
// developer guide, "Runtime API": errorMessage, errorType, stackTrace).
type failurePayload struct {
	Type    string `json:"errorType"`
	Message string `json:"errorMessage"`
}

func failed(kind, message string) Result {
	payload, err := json.Marshal(failurePayload{Type: kind, Message: message})
	if err != nil {
		payload = []byte(`{"errorType":"Sandbox.Failure"}`)
	}
	return Result{Payload: payload, FunctionError: Unhandled, ErrorType: kind}
}

func timedOut(id string, after time.Duration) Result {
	return failed("Sandbox.Timedout",
		fmt.Sprintf("RequestId: %s Error: Task timed out after %.2f seconds", id, after.Seconds()))
}

// exited tells how a process ended while somebody waited for it.
func exited(id string, err error) Result {
	return failed("Runtime.ExitError", fmt.Sprintf("RequestId: %s Error: %s", id, exitReason(err)))
}

func exitReason(err error) string {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return "Runtime exited without providing a reason"
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return "Runtime exited with error: signal: " + status.Signal().String()
	}
	return fmt.Sprintf("Runtime exited with error: exit status %d", exit.ExitCode())
}

// Unstartable is the failure of an invocation whose process could not be
// started at all.
func Unstartable(id string, err error) Result {
	return failed("Runtime.InvalidEntrypoint", fmt.Sprintf("RequestId: %s Error: %v", id, err))
}
