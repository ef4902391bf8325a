package transfer

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

const (
	barInterval  = 100 * time.Millisecond
	lineInterval = 5 * time.Second
)

const (
	wholeFile  = "file"
	wholeStore = "store"
)

// progress shows how far an import or an export is: by a bar on a terminal, and elsewhere by a line now and then.
type progress struct {
	out   io.Writer
	whole string // what is gone through: a file by its bytes, or a store by its rows
	size  int64  // of the whole; -1 where it is not known

	mu    sync.Mutex
	bar   *progressbar.ProgressBar // nil where out is not a terminal
	shown time.Time
	end   int64
}

func newProgress(out io.Writer, whole string, size int64) *progress {
	p := &progress{out: out, whole: whole, size: size, shown: time.Now()}
	if out == nil {
		p.out = io.Discard
	}
	if file, ok := out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		p.bar = progressbar.NewOptions64(size, progressbar.OptionSetWriter(out), progressbar.OptionShowBytes(whole == wholeFile),
			progressbar.OptionFullWidth(), progressbar.OptionSetSpinnerChangeInterval(0)) // 0: no goroutine
	}
	return p
}

// show is told how much of the whole is done, and what that has come to.
func (p *progress) show(end int64, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end = max(p.end, end)
	interval := lineInterval
	if p.bar != nil {
		interval = barInterval
	}
	if time.Since(p.shown) < interval {
		return
	}
	p.shown = time.Now()
	switch {
	case p.bar != nil:
		_ = p.bar.Set64(p.end) // a bar that cannot be drawn stops nothing
		p.bar.Describe(text)
	case p.size > 0:
		fmt.Fprintf(p.out, "%s, %d %% of the %s\n", text, p.end*100/p.size, p.whole)
	default:
		fmt.Fprintln(p.out, text)
	}
}

// say shows a line of its own.
func (p *progress) say(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintln(p.out, text)
}

// finish takes the bar away.
func (p *progress) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}

func (p *progress) clear() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}
