//go:build !linux

package figures

import "errors"

var errNoPinning = errors.New("threads can be pinned on Linux only")

func allowedCores() ([]int, error)                    { return nil, errNoPinning }
func pinThread(int) (restore func() error, err error) { return nil, errNoPinning }
