package worker

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// Grace is how long ago a process must have ended before another one continues its
// work: its last request may still be in flight in a local server. Leases are far
// longer, for processes whose end cannot be observed.
const Grace = 50 * time.Millisecond

// ThisProcess identifies this process, so that another one on the same machine can check
// whether it still runs: boot, process namespace, process id, start time. It is ""
// where the system has no /proc.
func ThisProcess() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	started := startTime(os.Getpid())
	if started == "" {
		return ""
	}
	return fmt.Sprintf("%s %s %d %s", strings.TrimSpace(string(boot)), space, os.Getpid(), started)
}

// HasEnded reports whether a process has certainly ended: it ran on this machine and no
// longer does. It is false for a process elsewhere.
func HasEnded(process string) bool {
	var boot, space, started, ownBoot, ownSpace, ownStarted string
	var pid, own int
	if n, _ := fmt.Sscan(process, &boot, &space, &pid, &started); n != 4 {
		return false
	}
	if n, _ := fmt.Sscan(ThisProcess(), &ownBoot, &ownSpace, &own, &ownStarted); n != 4 {
		return false
	}
	return boot == ownBoot && space == ownSpace && startTime(pid) != started
}

// startTime is when a process started, in clock ticks since boot, "" for one that is
// not there or a zombie, which has ended too (proc_pid_stat(5), fields 3 and 22).
func startTime(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	text := string(b)
	fields := strings.Fields(text[strings.LastIndex(text, ")")+1:]) // the name before it may hold anything
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return ""
	}
	return fields[19]
}
