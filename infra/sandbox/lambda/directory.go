package lambda

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// directoryPrefix is followed by the process id of the host whose directory it
// is.
const directoryPrefix = "banyan-lambda-"

// ownDirectory makes the host's directory below parent, and removes those of
// hosts that were killed before they could.
func ownDirectory(parent string) (string, error) {
	parent = cmp.Or(parent, os.TempDir())
	left, err := filepath.Glob(filepath.Join(parent, directoryPrefix+"*"))
	if err != nil {
		return "", err
	}
	for _, dir := range left {
		if abandoned(filepath.Base(dir)) {
			_ = os.RemoveAll(dir) // somebody else's, perhaps: then it stays
		}
	}
	return os.MkdirTemp(parent, directoryPrefix+strconv.Itoa(os.Getpid())+"-")
}

func abandoned(name string) bool {
	owner, _, ok := strings.Cut(strings.TrimPrefix(name, directoryPrefix), "-")
	pid, err := strconv.Atoi(owner)
	return ok && err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}
