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

// progress shows how far an import is: by a bar on a terminal, and elsewhere by a line now and then.
type progress struct {
	out  io.Writer
	size int64 // of the file in bytes; -1 where it is not known

	mu    sync.Mutex
	bar   *progressbar.ProgressBar // nil where out is not a terminal
	shown time.Time
	end   int64
}

func newProgress(out io.Writer, size int64) *progress {
	p := &progress{out: out, size: size, shown: time.Now()}
	if out == nil {
		p.out = io.Discard
	}
	if file, ok := out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		p.bar = progressbar.NewOptions64(size, progressbar.OptionSetWriter(out), progressbar.OptionShowBytes(true),
			progressbar.OptionFullWidth(), progressbar.OptionSetSpinnerChangeInterval(0)) // 0: no goroutine
	}
	return p
}

// show is told of each batch written: where in the file it ended, and what all have come to.
func (p *progress) show(end int64, sofar Report) {
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
	text := fmt.Sprintf("%d rows, %d failed", sofar.Rows(), sofar.Failed)
	switch {
	case p.bar != nil:
		_ = p.bar.Set64(p.end) // a bar that cannot be drawn stops nothing
		p.bar.Describe(text)
	case p.size > 0:
		fmt.Fprintf(p.out, "%s, %d %% of the file\n", text, p.end*100/p.size)
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
