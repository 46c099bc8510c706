package sqsloop_test

import "os"

func cleanUp(code int) { os.Exit(code) }
