package transfer

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// failedFile is the file of failed rows, which exists from the first of them on.
type failedFile struct {
	path string
	// replaces has a file that is there overwritten; else a number is added to the path.
	replaces bool
	rows     rows

	mu   sync.Mutex // guards what follows
	file *os.File
	out  *bufio.Writer
}

// add writes a failed row. The file is its owner's alone: it holds names and addresses.
func (f *failedFile) add(r row) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		file, err := f.create()
		if err != nil {
			return err
		}
		f.file, f.out = file, bufio.NewWriter(file)
		if _, err := f.out.Write(f.rows.failedHeader()); err != nil {
			return err
		}
	}
	_, err := f.out.Write(f.rows.failedRow(r))
	return err
}

func (f *failedFile) create() (*os.File, error) {
	if f.replaces {
		return os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	}
	extension := filepath.Ext(f.path)
	name := strings.TrimSuffix(f.path, extension)
	for n := 2; ; n++ {
		file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if !errors.Is(err, fs.ErrExist) {
			return file, err
		}
		f.path = fmt.Sprintf("%s-%d%s", name, n, extension)
	}
}

// close writes what is left.
func (f *failedFile) close() error {
	if f.file == nil {
		return nil
	}
	return errors.Join(f.out.Flush(), f.file.Close())
}
