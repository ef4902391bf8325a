// Package transfer brings customers, their identities and their events into a store from files, and out of it into files.
package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sethvargo/go-retry"
	"golang.org/x/sync/errgroup"

	"akin/model"
	"akin/repo"
)

const (
	// defaultPatience is how long an import waits for a database that cannot be reached.
	defaultPatience = time.Minute
	// batchTimeout bounds one try to write a batch, which takes some 20 ms.
	batchTimeout = 30 * time.Second
)

// ImportConfig says what to import and how.
type ImportConfig struct {
	Kind  Kind      // what the rows are
	File  string    // the file's path, or - for Stdin
	Stdin io.Reader // standard input
	// Failed is the path of the file of failed rows, replaced if there is one, and made only when a row fails. Where
	// empty, it is beside File: customers.failed.csv for customers.csv, import.failed.csv for standard input; and where
	// there is one, whose rows somebody may have mended, customers.failed-2.csv and so on.
	Failed      string
	Concurrency int           // batches written at once; 1 where less
	Patience    time.Duration // how long to wait for a database that cannot be reached; a minute where 0
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

// Import upserts the customers, identities or events of a CSV or NDJSON file in batches. A row that breaks a rule goes to
// the file of failed rows with its line and its reason, and the others are written. The result is that of the rows one by
// one in their order, but for two cases in which the rows of one customer may come in either order: they have no key in
// common, or one was refused and then tried again after the others of its batch.
//
// A CSV file begins with a header; an empty cell keeps what is known. An NDJSON file has an object a line, and what is
// omitted keeps what is known; null clears as it does in the API, which for the names of an identity is to keep. Both take
// the names of the API and their snake_case, which are those of the seed documents, and refuse others, so that nothing
// misspelt is lost. An object in NDJSON, such as address, is a column for each of its members in CSV: address.city; as in
// the API, an address of which a row says anything replaces the whole. Tags may be one text with commas between, and
// properties may be a column each, properties.key, with texts.
//
// Cancelling ctx lets the batches under way finish and drops the others. An error says why not all rows were dealt
// with; the report counts those that were. The same file can be imported again, and what is written already counts as
// unchanged. A row that a later one of the file overrules counts as updated, and so does that one; where another customer
// has by now an email that it had, the row fails. Either way the store comes to the same, with one exception: where
// a row finds its customer by email alone and a later row changes that email, the first row, imported again, finds nobody and
// makes a customer. A header that cannot be used is an error before anything is written.
func Import(ctx context.Context, store *repo.Store, cfg ImportConfig) (Report, error) {
	start := time.Now()
	kind, err := kindOf(cfg.Kind)
	if err != nil {
		return Report{}, err
	}
	source, size, err := open(cfg)
	if err != nil {
		return Report{}, err
	}
	defer source.Close() // only read
	rows, err := openRows(kind, source, cfg.File)
	if err != nil {
		return Report{}, fmt.Errorf("read %s: %w", cfg.File, err)
	}
	failed := &failedFile{path: cfg.failedPath(rows.extension()), replaces: cfg.Failed != "", rows: rows}
	if failed.replaces && (same(failed.path, source) || same(failed.path, cfg.Stdin)) {
		return Report{}, fmt.Errorf("%s is the file to read; the failed rows need another", failed.path)
	}
	im := &importer{
		kind: kind, store: store, cfg: cfg, failed: failed, progress: newProgress(cfg.Progress, wholeFile, size), holders: map[any]*batch{},
	}
	err = cmp.Or(im.run(ctx, rows), failed.close()) // a disk that is full fails both
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
	kind     *kind
	store    *repo.Store
	cfg      ImportConfig
	failed   *failedFile
	progress *progress
	writing  *errgroup.Group
	next     *batch          // being filled
	sent     []chan struct{} // of the batches before it that may not be written yet

	mu      sync.Mutex // guards what follows
	report  Report
	holders map[any]*batch // by claim
}

// batch is a set of rows that are written at once.
type batch struct {
	rows    []row
	claims  []any
	earlier []chan struct{} // of the batches before it that may not be written yet
	done    chan struct{}   // closed when it is written, or never will be
}

// run reads all rows and writes them.
func (im *importer) run(ctx context.Context, in rows) error {
	defer im.progress.finish()
	im.writing, ctx = errgroup.WithContext(ctx)
	im.writing.SetLimit(max(im.cfg.Concurrency, 1))
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
		return im.refuse(r)
	}
	full := len(im.next.rows) == model.MaxBatch
	if full || slices.ContainsFunc(r.claims.own, func(claim any) bool { return im.holder(claim) == im.next }) {
		im.send(ctx)
	}
	claims := slices.Concat(r.claims.own, r.claims.shared)
	for _, claim := range claims {
		if holder := im.holder(claim); holder != nil && holder != im.next {
			select {
			case <-holder.done:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	im.next.rows = append(im.next.rows, r)
	im.next.claims = append(im.next.claims, claims...)
	im.mu.Lock()
	defer im.mu.Unlock()
	for _, claim := range claims {
		im.holders[claim] = im.next
	}
	return nil
}

// refuse puts a row into the file of failed rows.
func (im *importer) refuse(r row) error {
	if err := im.failed.add(r); err != nil {
		return err
	}
	im.count(Report{Failed: 1}, r.end)
	return nil
}

// holder returns the batch that holds the claim, or nil.
func (im *importer) holder(claim any) *batch {
	im.mu.Lock()
	defer im.mu.Unlock()
	return im.holders[claim]
}

// send has the next batch written, waiting while too many are, and begins another.
func (im *importer) send(ctx context.Context) {
	b := im.next
	if len(b.rows) == 0 {
		return
	}
	im.next = &batch{done: make(chan struct{})}
	b.earlier = slices.DeleteFunc(im.sent, isClosed)
	im.sent = append(slices.Clone(b.earlier), b.done)
	im.writing.Go(func() error {
		defer im.release(b)
		return im.write(ctx, b)
	})
}

func isClosed(done chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
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

// write writes the rows of a batch. Those that are refused are tried again for as long as what the others did, or those of
// an earlier batch, may have changed that: two keys led to one customer, or one row took what another then gave back.
func (im *importer) write(ctx context.Context, b *batch) error {
	for rows := b.rows; len(rows) > 0; {
		answers, err := im.try(ctx, rows)
		if err != nil {
			return err
		}
		var done Report
		var again []row
		for i, answer := range answers {
			switch {
			case len(answer.UserErrors) > 0:
				rows[i].reason = answer.UserErrors[0].Message
				again = append(again, rows[i])
			case *answer.Outcome == model.OutcomeCreated:
				done.Created++
			case *answer.Outcome == model.OutcomeUpdated:
				done.Updated++
			default:
				done.Unchanged++
			}
		}
		im.count(done, rows[len(rows)-1].end)
		switch {
		case done.Rows() > 0:
		case len(b.earlier) > 0:
			for _, written := range b.earlier {
				<-written // none of them waits for a later one
			}
			b.earlier = nil
		default: // the first is refused for itself, and so may all be
			n := 0
			for i, answer := range answers {
				if answer.UserErrors[0].Code == model.UserErrorDuplicateInBatch {
					again[n] = again[i]
					n++
				} else if err := im.refuse(again[i]); err != nil {
					return err
				}
			}
			again = again[:n]
		}
		rows = again
	}
	return nil
}

// try writes rows as often as the database cannot be reached and patience lasts. A try that has begun is finished even
// when ctx is cancelled, so that the report is true.
func (im *importer) try(ctx context.Context, rows []row) (answers []*model.Upsert, err error) {
	inputs := make([]any, len(rows))
	for i, r := range rows {
		inputs[i] = r.input
	}
	backoff := retry.WithCappedDuration(5*time.Second, retry.NewExponential(100*time.Millisecond))
	backoff = retry.WithMaxDuration(cmp.Or(im.cfg.Patience, defaultPatience), backoff)
	waiting := false
	err = retry.Do(ctx, backoff, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), batchTimeout)
		defer cancel()
		answers, err = im.kind.write(ctx, im.store, inputs)
		if known, ok := errors.AsType[*model.Error](err); ok && known.Code == model.CodeUnavailable {
			if !waiting {
				im.progress.say("the database cannot be reached; waiting for it")
			}
			waiting = true
			return retry.RetryableError(err)
		}
		return err
	})
	if err != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("write %d rows from line %d on: %w", len(rows), rows[0].line, err)
	}
	return answers, err
}

// count adds to the report and shows it.
func (im *importer) count(more Report, end int64) {
	im.mu.Lock()
	defer im.mu.Unlock()
	im.report.Created += more.Created
	im.report.Updated += more.Updated
	im.report.Unchanged += more.Unchanged
	im.report.Failed += more.Failed
	im.progress.show(end, fmt.Sprintf("%d rows, %d failed", im.report.Rows(), im.report.Failed))
}
