package migrate

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// settled is how long a process must have been gone before its work is taken
// over: what it sent last may still be on its way through a local server.
// Leases and turns wait far longer, for processes that nobody can see.
const settled = 50 * time.Millisecond

// self names this process so that another one on the same machine can tell
// whether it still lives: boot, process namespace, process id, start time.
// "" where the system does not tell.
func self() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	born := birth(os.Getpid())
	if born == "" {
		return ""
	}
	return fmt.Sprintf("%s %s %d %s", strings.TrimSpace(string(boot)), space, os.Getpid(), born)
}

// gone reports that the process has certainly ended: it was one of this
// machine, and is no more. A process elsewhere may live or not.
func gone(process string) bool {
	var boot, space, born, ownBoot, ownSpace, ownBorn string
	var pid, own int
	if n, _ := fmt.Sscan(process, &boot, &space, &pid, &born); n != 4 {
		return false
	}
	if n, _ := fmt.Sscan(self(), &ownBoot, &ownSpace, &own, &ownBorn); n != 4 {
		return false
	}
	return boot == ownBoot && space == ownSpace && birth(pid) != born
}

// birth is when a process started, in clock ticks since boot, "" for one that is
// not there or a zombie, which has ended too (proc_pid_stat(5), fields 3 and 22).
func birth(pid int) string {
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
