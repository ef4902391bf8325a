package transfer

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"akin/repo"
)

// The formats of an export.
const (
	CSV    = "csv"
	NDJSON = "ndjson"
)

// ExportConfig says what to export and how.
type ExportConfig struct {
	Kind     Kind      // what the rows are
	Format   string    // CSV or NDJSON; where empty, CSV for a File that ends in .csv, or else NDJSON
	File     string    // the file's path, or - for Stdout
	Stdout   io.Writer // standard output
	Progress io.Writer // where progress is shown, as in ImportConfig
}

// Export writes all customers, identities or events of a store to a file, oldest first, and returns how many. Importing
// all three into an empty store, in this order of kinds, gives the same customers with the same identities and events,
// under the same IDs, and with the same createdAt, which an ID has in it. What differs are version and updatedAt, which say
// what the new store did.
//
// The file appears whole or not at all, and is its owner's alone: it holds names and addresses. What is written to the
// store meanwhile may be in the file or not. Memory does not depend on the size of the store.
func Export(ctx context.Context, store *repo.Store, cfg ExportConfig) (rows int, err error) {
	kind, err := kindOf(cfg.Kind)
	if err != nil {
		return 0, err
	}
	total, err := kind.count(ctx, store)
	if err != nil {
		return 0, err
	}
	if cfg.File == "-" {
		return export(ctx, store, kind, cfg, total, cfg.Stdout)
	}
	err = replace(cfg.File, func(file io.Writer) error {
		rows, err = export(ctx, store, kind, cfg, total, file)
		return err
	})
	return rows, err
}

// namesCSV reports whether a file is CSV by its name; else it is NDJSON.
func namesCSV(file string) bool { return strings.EqualFold(filepath.Ext(file), ".csv") }

// replace puts a new file in the place of a path, or of the file that a link there leads to if there is one, once it is
// written whole.
func replace(path string, write func(io.Writer) error) (err error) {
	info, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file that can be replaced; - is standard output", path)
	}
	target := path
	if followed, err := filepath.EvalSymlinks(path); err == nil {
		target = followed
	}
	file, err := os.CreateTemp(filepath.Dir(target), "."+filepath.Base(target)+".*") // of mode 0600
	if err != nil {
		return naming(path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(naming(path, err), os.Remove(file.Name()))
		}
	}()
	// The first error is what went wrong; the others follow from it.
	if err := cmp.Or(write(file), file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), target)
}

// naming has an error of a file be one of this path: nobody has heard of the file that becomes it.
func naming(path string, err error) error {
	if of, ok := errors.AsType[*fs.PathError](err); ok {
		return &fs.PathError{Op: of.Op, Path: path, Err: of.Err}
	}
	if of, ok := errors.AsType[*os.LinkError](err); ok {
		return &fs.PathError{Op: of.Op, Path: path, Err: of.Err}
	}
	return err
}

// export writes the store's rows page by page.
func export(ctx context.Context, store *repo.Store, k *kind, cfg ExportConfig, total int, to io.Writer) (rows int, err error) {
	progress := newProgress(cfg.Progress, wholeStore, int64(total))
	defer progress.finish()
	out := bufio.NewWriter(to)
	add := ndjsonWriter(out)
	if cfg.Format == CSV || cfg.Format == "" && namesCSV(cfg.File) {
		if add, err = csvWriter(k, out); err != nil {
			return 0, err
		}
	}
	var after *string
	for {
		var records []any
		if records, after, err = k.page(ctx, store, after); err != nil {
			return rows, err
		}
		for _, record := range records {
			if err := add(record); err != nil {
				return rows, err
			}
		}
		rows += len(records)
		progress.show(int64(rows), fmt.Sprintf("%d rows", rows))
		if after == nil {
			return rows, out.Flush()
		}
	}
}

// ndjsonWriter returns what writes a record as a line of NDJSON.
func ndjsonWriter(out io.Writer) func(record any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode
}

// csvWriter writes the header, and returns what writes a record as a row of CSV: the cells are what the import takes from
// its line of NDJSON.
func csvWriter(k *kind, out io.Writer) (func(record any) error, error) {
	w := csv.NewWriter(out)
	if err := w.Write(k.exported); err != nil {
		return nil, err
	}
	var line bytes.Buffer
	encode := ndjsonWriter(&line)
	cells := make([]string, len(k.exported))
	return func(record any) error {
		line.Reset()
		if err := encode(record); err != nil {
			return err
		}
		v, err := k.parse(line.Bytes())
		if err != nil {
			return err
		}
		for i, column := range k.exported {
			cells[i] = textOf(v[column])
			if column == "tags" {
				cells[i] = commaSeparated(cells[i])
			}
		}
		if err := w.Write(cells); err != nil {
			return err
		}
		w.Flush()
		return w.Error()
	}, nil
}

// commaSeparated returns a JSON array of tags as a text with commas between, unless it would not be read as the same.
func commaSeparated(array string) string {
	var tags []string
	if err := json.Unmarshal([]byte(array), &tags); err != nil {
		return array
	}
	text := strings.Join(tags, ",")
	if strings.Count(text, ",") >= max(len(tags), 1) || strings.HasPrefix(text, "[") {
		return array
	}
	return text
}
