package environment

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
)

// Printf writes a line of the platform's own into the function's log.
func (e *Environment) Printf(format string, args ...any) {
	e.output([]byte(fmt.Sprintf(format, args...)))
}

func (e *Environment) output(p []byte) {
	e.logMu.Lock()
	defer e.logMu.Unlock()
	_, _ = e.tail.Write(p)
	if e.cfg.Log != nil {
		e.cfg.Log(p)
	}
}

func (e *Environment) tailReset() {
	e.logMu.Lock()
	defer e.logMu.Unlock()
	e.tail.reset()
}

func (e *Environment) tailBytes() []byte {
	e.logMu.Lock()
	defer e.logMu.Unlock()
	return e.tail.bytes()
}

// report writes the END and REPORT lines (developer guide, "Working with
// Lambda function logs").
func (e *Environment) report(id string, took time.Duration) {
	e.mu.Lock()
	initTime := e.initTime
	e.initTime = 0
	e.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "END RequestId: %s\n", id)
	fmt.Fprintf(&b, "REPORT RequestId: %s\tDuration: %.2f ms\tBilled Duration: %.0f ms\tMemory Size: %d MB",
		id, milliseconds(took), math.Ceil(milliseconds(took+initTime)), e.cfg.MemorySize)
	if used, ok := peakMemory(e.cmd.Process.Pid); ok {
		fmt.Fprintf(&b, "\tMax Memory Used: %d MB", used)
	}
	if initTime > 0 {
		fmt.Fprintf(&b, "\tInit Duration: %.2f ms", milliseconds(initTime))
	}
	e.Printf("%s\t\n", b.String())
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// peakMemory reads the most memory the process ever had, in MB, where the
// system has a /proc that tells.
func peakMemory(pid int) (int, bool) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, false
	}
	for line := range bytes.Lines(status) {
		value, ok := bytes.CutPrefix(line, []byte("VmHWM:"))
		if !ok {
			continue
		}
		kilobytes, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(string(value)), " kB"))
		return kilobytes >> 10, err == nil
	}
	return 0, false
}

func version(env []string) string {
	for _, v := range env {
		if value, ok := strings.CutPrefix(v, "AWS_LAMBDA_FUNCTION_VERSION="); ok {
			return value
		}
	}
	return "$LATEST"
}
