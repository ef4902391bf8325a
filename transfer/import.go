// Package transfer brings identities into a store from files.
package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sethvargo/go-retry"
	"golang.org/x/sync/errgroup"

	"akin/model"
	"akin/repo"
)

const (
	// DefaultConcurrency is how many batches are written at once where nothing else is asked for.
	DefaultConcurrency = 2
	// DefaultPatience is how long an import waits for a database that cannot be reached.
	DefaultPatience = time.Minute
	// batchTimeout bounds one try to write a batch, which takes some 20 ms.
	batchTimeout = 30 * time.Second
)

// ImportConfig says what to import and how.
type ImportConfig struct {
	File  string    // the file's path, or - for Stdin
	Stdin io.Reader // standard input
	// Failed is the path of the file of failed rows, replaced if there is one, and made only when a row fails. Where
	// empty, it is beside File: customers.failed.csv for customers.csv, import.failed.csv for standard input.
	Failed      string
	Concurrency int           // batches written at once; DefaultConcurrency where 0
	Patience    time.Duration // how long to wait for a database that cannot be reached; DefaultPatience where 0
	Progress    io.Writer     // where progress is shown: a bar on a terminal, lines elsewhere; nil for nowhere
}

// Report says what became of the rows of a file.
type Report struct {
	Created, Updated, Unchanged, Failed int
	FailedFile                          string // the file of failed rows; empty where there is none
	Elapsed                             time.Duration
}

// Rows returns how many rows were dealt with: all, unless the import was stopped.
func (r Report) Rows() int { return r.Created + r.Updated + r.Unchanged + r.Failed }

// String returns the report as a line for a person to read, and a second one where rows failed.
func (r Report) String() string {
	text := fmt.Sprintf("%d rows in %s (%.0f a second): %d created, %d updated, %d unchanged, %d failed",
		r.Rows(), r.Elapsed.Round(100*time.Millisecond), float64(r.Rows())/max(r.Elapsed.Seconds(), 1e-3),
		r.Created, r.Updated, r.Unchanged, r.Failed)
	if r.FailedFile != "" {
		text += fmt.Sprintf("\nthe failed rows and their reasons are in %s; mend them there and import that file", r.FailedFile)
	}
	return text
}

// Import upserts the identities of a CSV or NDJSON file in batches, and gives the same result as if its rows came one
// by one in their order. A row that breaks a rule goes to the file of failed rows with its line and its reason, and the
// others are written.
//
// A CSV file begins with a header; an empty cell keeps the name that is known. An NDJSON file has an object a line; a
// name that is omitted or null keeps what is known, an empty one clears it. Both take the names of the API and those of
// the seed document, and refuse others, so that nothing misspelt is lost.
//
// Cancelling ctx lets the batches under way finish and drops the others. An error says why not all rows were dealt
// with; the report counts those that were. The same file can be imported again, and what is written already counts as
// unchanged (or as updated, where a later row of the file has the same key and says something else). A header that
// cannot be used is an error before anything is written.
func Import(ctx context.Context, store *repo.Store, cfg ImportConfig) (Report, error) {
	start := time.Now()
	source, size, err := open(cfg)
	if err != nil {
		return Report{}, err
	}
	defer source.Close() // only read
	rows, err := openRows(source)
	if err != nil {
		return Report{}, fmt.Errorf("read %s: %w", cfg.File, err)
	}
	failed := &failedFile{path: cfg.failedPath(rows.extension()), rows: rows}
	if same(failed.path, source) {
		return Report{}, fmt.Errorf("%s is the file to read; the failed rows need another", failed.path)
	}
	im := &importer{store: store, cfg: cfg, failed: failed, progress: newProgress(cfg.Progress, size), holders: map[claim]*batch{}}
	err = errors.Join(im.run(ctx, rows), failed.close())
	im.report.Elapsed = time.Since(start)
	if failed.file != nil {
		im.report.FailedFile = failed.path
	}
	if err != nil {
		return im.report, fmt.Errorf("stopped after %d rows; import the file again to do the rest: %w", im.report.Rows(), err)
	}
	return im.report, nil
}

// open returns the file, and its size in bytes or -1.
func open(cfg ImportConfig) (io.ReadCloser, int64, error) {
	if cfg.File == "-" {
		return io.NopCloser(cfg.Stdin), -1, nil
	}
	file, err := os.Open(cfg.File)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	if !info.Mode().IsRegular() {
		return file, -1, nil
	}
	return file, info.Size(), nil
}

func (cfg ImportConfig) failedPath(extension string) string {
	switch {
	case cfg.Failed != "":
		return cfg.Failed
	case cfg.File == "-":
		return "import.failed" + extension
	}
	return strings.TrimSuffix(cfg.File, filepath.Ext(cfg.File)) + ".failed" + extension
}

// same reports whether the path is that of the file being read.
func same(path string, source io.Reader) bool {
	file, ok := source.(*os.File)
	if !ok {
		return false
	}
	there, err := os.Stat(path)
	if err != nil {
		return false
	}
	here, err := file.Stat()
	return err == nil && os.SameFile(here, there)
}

// importer carries out one import.
type importer struct {
	store    *repo.Store
	cfg      ImportConfig
	failed   *failedFile
	progress *progress
	writing  *errgroup.Group
	next     *batch // being filled

	mu      sync.Mutex // guards what follows
	report  Report
	holders map[claim]*batch
}

// batch is a set of inputs that one statement writes.
type batch struct {
	line   int   // of the first row
	end    int64 // the bytes of the file up to the end of the last one
	inputs []*model.UpsertCustomerIdentityInput
	claims []claim
	done   chan struct{} // closed when it is written, or never will be
}

// claim is what a row may write: the identity with a key or, without a platform, the customer with a normalised email.
// A batch holds its rows' claims until it is written, and a later row with one of them waits for it. That is what makes
// the result that of the rows one by one.
type claim struct{ platform, value string }

// run reads all rows and writes them.
func (im *importer) run(ctx context.Context, in rows) error {
	defer im.progress.finish()
	im.writing, ctx = errgroup.WithContext(ctx)
	im.writing.SetLimit(cmp.Or(im.cfg.Concurrency, DefaultConcurrency))
	im.next = &batch{done: make(chan struct{})}
	read := make(chan readRow, model.MaxBatch)
	// Not waited for: a read of standard input cannot be cancelled.
	go readAll(ctx, in, read)
	err := im.takeAll(ctx, read)
	if writeErr := im.writing.Wait(); writeErr != nil {
		return writeErr
	}
	return err
}

// readRow is a row, or the error that ended the reading.
type readRow struct {
	row
	err error
}

// readAll reads until an error, io.EOF if need be, and hands that over too.
func readAll(ctx context.Context, in rows, read chan<- readRow) {
	for {
		r, err := in.next()
		select {
		case read <- readRow{r, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// takeAll puts the rows into batches and sends each batch that is full.
func (im *importer) takeAll(ctx context.Context, read <-chan readRow) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case r := <-read:
			if r.err != nil {
				im.send(ctx)
				if errors.Is(r.err, io.EOF) {
					return nil
				}
				return fmt.Errorf("read %s: %w", im.cfg.File, r.err)
			}
			if err := im.take(ctx, r.row); err != nil {
				return err
			}
		}
	}
}

// take puts a row where it belongs: the file of failed rows, or the next batch as soon as its claims are free.
func (im *importer) take(ctx context.Context, r row) error {
	if r.reason != "" {
		if err := im.failed.add(r); err != nil {
			return err
		}
		im.count(Report{Failed: 1}, r.end)
		return nil
	}
	key, customer := claim{r.identity.Platform, *r.identity.PlatformCustomerID}, claim{"", *r.identity.EmailNormalized}
	if len(im.next.inputs) == model.MaxBatch || im.holder(key) == im.next {
		im.send(ctx)
	}
	for _, c := range []claim{key, customer} {
		// Within a batch, rows may share a customer.
		if holder := im.holder(c); holder != nil && holder != im.next {
			select {
			case <-holder.done:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	if len(im.next.inputs) == 0 {
		im.next.line = r.line
	}
	im.next.inputs = append(im.next.inputs, r.input)
	im.next.claims = append(im.next.claims, key, customer)
	im.next.end = r.end
	im.mu.Lock()
	defer im.mu.Unlock()
	im.holders[key], im.holders[customer] = im.next, im.next
	return nil
}

// holder returns the batch that holds the claim, or nil.
func (im *importer) holder(c claim) *batch {
	im.mu.Lock()
	defer im.mu.Unlock()
	return im.holders[c]
}

// send has the next batch written, waiting while too many are, and begins another.
func (im *importer) send(ctx context.Context) {
	b := im.next
	if len(b.inputs) == 0 {
		return
	}
	im.next = &batch{done: make(chan struct{})}
	im.writing.Go(func() error {
		defer im.release(b)
		return im.write(ctx, b)
	})
}

// release frees the claims of a batch.
func (im *importer) release(b *batch) {
	im.mu.Lock()
	defer im.mu.Unlock()
	for _, c := range b.claims {
		if im.holders[c] == b {
			delete(im.holders, c)
		}
	}
	close(b.done)
}

// write writes a batch, as often as the database cannot be reached and patience lasts. A try that has begun is finished
// even when ctx is cancelled, so that the report is true.
func (im *importer) write(ctx context.Context, b *batch) error {
	backoff := retry.WithCappedDuration(5*time.Second, retry.NewExponential(100*time.Millisecond))
	backoff = retry.WithMaxDuration(cmp.Or(im.cfg.Patience, DefaultPatience), backoff)
	waiting := false
	err := retry.Do(ctx, backoff, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), batchTimeout)
		defer cancel()
		payload, err := im.store.UpsertCustomerIdentities(ctx, b.inputs, model.KeepValid)
		if err == nil {
			im.count(Report{
				Created: payload.CreatedCount(), Updated: payload.UpdatedCount(), Unchanged: payload.UnchangedCount(),
			}, b.end)
			return nil
		}
		var known *model.Error
		if errors.As(err, &known) && known.Code == model.CodeUnavailable {
			if !waiting {
				im.progress.say("the database cannot be reached; waiting for it")
			}
			waiting = true
			return retry.RetryableError(err)
		}
		return err
	})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("write %d rows from line %d on: %w", len(b.inputs), b.line, err)
	}
	return err
}

// count adds to the report and shows it.
func (im *importer) count(more Report, end int64) {
	im.mu.Lock()
	defer im.mu.Unlock()
	im.report.Created += more.Created
	im.report.Updated += more.Updated
	im.report.Unchanged += more.Unchanged
	im.report.Failed += more.Failed
	im.progress.show(end, im.report)
}
