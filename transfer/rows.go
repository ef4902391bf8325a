package transfer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxRow is the longest row, in bytes. The longest that can be written has 250 tags of 255 characters,
// some 300 KiB; one that is longer fails alone.
const maxRow = 1 << 20

// row is one row of a file: an object to upsert, or the reason why it cannot be.
type row struct {
	line int    // where it begins, from 1
	end  int64  // the bytes of the file up to its end
	text []byte // the row as it stands in the file

	input  any // as the kind's write takes it
	claims claims
	reason string // why the row failed; empty where it did not
}

// finish gives the row its text, and the reason why it failed if it did.
func (r *row) finish(text []byte, reason string) {
	r.text, r.reason = bytes.Clone(text), reason
}

// check takes the row's values, or fails it with every rule that they break.
func (r *row) check(k *kind, text []byte, v values) {
	var faults []string
	r.input, r.claims, faults = k.check(v)
	r.finish(text, strings.Join(faults, "; "))
}

// rows reads a file in one of the formats.
type rows interface {
	// next returns the next row, or io.EOF. A row that cannot be read is a failed one; an error is of the reading.
	next() (row, error)
	// extension is that of a file of the format.
	extension() string
	// failedHeader and failedRow return what a file of failed rows begins with, and its line for one: the row as it
	// stood, so that nothing but the fault needs mending before the file is imported in its turn.
	failedHeader() []byte
	failedRow(row) []byte
}

// openRows tells the format from the first line: NDJSON begins with {, and anything else is the header of a CSV file. A
// file without a line is of the format that an export gives its name, and in NDJSON it is one of no rows.
func openRows(k *kind, source io.Reader, name string) (rows, error) {
	in := &lines{reader: bufio.NewReaderSize(source, maxRow)}
	mark, err := in.reader.Peek(3)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.Equal(mark, []byte("\xEF\xBB\xBF")):
		in.end = int64(len(mark))
		_, _ = in.reader.Discard(len(mark)) // they are in the buffer
	case bytes.HasPrefix(mark, []byte("\xFF\xFE")), bytes.HasPrefix(mark, []byte("\xFE\xFF")):
		return nil, errors.New("the file is in UTF-16; save it as UTF-8")
	case bytes.HasPrefix(mark, []byte("\x1F\x8B")):
		return nil, errors.New("the file is compressed with gzip: gunzip -c FILE | akin import - does it")
	}
	first, err := in.nextFilled()
	if errors.Is(err, io.EOF) {
		if !namesCSV(name) {
			return &ndjsonRows{kind: k, in: in}, nil
		}
		return nil, errors.New("the file is empty; a CSV file has at least a header")
	}
	if err != nil {
		return nil, err
	}
	text := bytes.TrimSpace(first.text)
	switch {
	case bytes.HasPrefix(text, []byte{'{'}):
		first.text = bytes.Clone(first.text)
		in.unread(first)
		return &ndjsonRows{kind: k, in: in}, nil
	case bytes.HasPrefix(text, []byte{'['}):
		return nil, errors.New("the file is a JSON array; give one object a line (NDJSON): jq -c '.[]' does it")
	}
	return newCSVRows(k, in, first)
}

// lines reads a text line by line, and knows where it is.
type lines struct {
	reader *bufio.Reader // its buffer is the longest line
	ahead  []line
	number int
	end    int64
}

// line is a line of a text, without its end. The text of one just read is valid until the next is read.
type line struct {
	text    []byte
	number  int
	end     int64
	tooLong bool // then text is its beginning
}

// next returns the next line, or io.EOF.
func (in *lines) next() (line, error) {
	if len(in.ahead) > 0 {
		l := in.ahead[0]
		in.ahead = in.ahead[1:]
		return l, nil
	}
	text, err := in.reader.ReadSlice('\n')
	in.number++
	in.end += int64(len(text))
	l := line{number: in.number, tooLong: errors.Is(err, bufio.ErrBufferFull)}
	if l.tooLong {
		text = bytes.Clone(text[:1])
	}
	for errors.Is(err, bufio.ErrBufferFull) {
		var more []byte
		more, err = in.reader.ReadSlice('\n')
		in.end += int64(len(more))
	}
	if err != nil && !errors.Is(err, io.EOF) || errors.Is(err, io.EOF) && len(text) == 0 {
		return line{}, err
	}
	l.end = in.end
	l.text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	return l, nil
}

// nextFilled returns the next line that is not blank, or io.EOF.
func (in *lines) nextFilled() (line, error) {
	for {
		l, err := in.next()
		if err != nil || l.tooLong || len(bytes.TrimSpace(l.text)) > 0 {
			return l, err
		}
	}
}

// unread has lines come again, whose texts are copies.
func (in *lines) unread(again ...line) { in.ahead = slices.Concat(again, in.ahead) }

var reasonTooLong = fmt.Sprintf("the line is longer than %d bytes and is left out here", maxRow)
