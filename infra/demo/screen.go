package demo

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// screen is what a person sees: one line a step, with a live line below it
// on a terminal.
type screen struct {
	mu    sync.Mutex
	out   io.Writer
	tty   bool
	began time.Time
	live  bool
}

func newScreen(out io.Writer) *screen {
	s := &screen{out: out, began: time.Now()}
	if f, ok := out.(*os.File); ok {
		info, err := f.Stat()
		s.tty = err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
	}
	return s
}

func (s *screen) style(code, text string) string {
	if !s.tty || os.Getenv("NO_COLOR") != "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// heading begins a part.
func (s *screen) heading(format string, args ...any) {
	s.print("\n" + s.style("1;32", fmt.Sprintf(format, args...)) + "\n")
}

// step reports something that happened, with the time since the start.
func (s *screen) step(format string, args ...any) {
	at := fmt.Sprintf("%6.1fs ", time.Since(s.began).Seconds())
	s.print(s.style("2", at) + fmt.Sprintf(format, args...) + "\n")
}

// progress shows a line that the next one replaces, on a terminal only.
func (s *screen) progress(format string, args ...any) {
	if !s.tty {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprint(s.out, "\r\x1b[K        "+s.style("2", fmt.Sprintf(format, args...)))
	s.live = true
}

func (s *screen) print(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live {
		fmt.Fprint(s.out, "\r\x1b[K")
		s.live = false
	}
	fmt.Fprint(s.out, text)
}

// number groups digits: 1234567 as 1,234,567.
func number(n int64) string {
	s := fmt.Sprint(n)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	var b strings.Builder
	for i, d := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return sign + b.String()
}
