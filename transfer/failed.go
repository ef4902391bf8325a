package transfer

import (
	"bufio"
	"errors"
	"os"
	"sync"
)

// failedFile is the file of failed rows, which exists from the first of them on.
type failedFile struct {
	path string
	rows rows

	mu   sync.Mutex // guards what follows
	file *os.File
	out  *bufio.Writer
}

// add writes a failed row. The file is its owner's alone: it holds names and addresses.
func (f *failedFile) add(r row) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
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

// close writes what is left.
func (f *failedFile) close() error {
	if f.file == nil {
		return nil
	}
	return errors.Join(f.out.Flush(), f.file.Close())
}
