package transfer

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"akin/model"
)

// csvRows reads CSV by RFC 4180, with a header in any order. An empty cell says nothing, so that it keeps what is
// known: CSV has no null.
type csvRows struct {
	kind    *kind
	in      *lines
	columns []string
	header  []byte // as it stands in the file
	// remarked is whether the file is one of failed rows, with their remarks in front.
	remarked bool

	record bytes.Reader
	parser *csv.Reader
}

// newCSVRows refuses a column that it does not know, because one misspelt would be lost without a word.
func newCSVRows(k *kind, in *lines, first line) (*csvRows, error) {
	c := &csvRows{kind: k, in: in}
	if first.tooLong {
		return nil, fmt.Errorf("the first line is no header: it is longer than %d bytes", maxRow)
	}
	c.header = bytes.Clone(first.text)
	names, reason := c.parse(c.header)
	if reason != "" {
		return nil, fmt.Errorf("the header is not CSV: %s", reason)
	}
	for _, name := range names {
		column, ok := k.column(strings.TrimSpace(name))
		if !ok {
			return nil, fmt.Errorf("the header has the unknown column %q; the columns are %s", model.Redact(name), k.known())
		}
		if column != remark && slices.Contains(c.columns, column) {
			return nil, fmt.Errorf("the header has the column %q twice", name)
		}
		c.columns = append(c.columns, column)
	}
	for _, required := range k.required {
		if !slices.ContainsFunc(required, func(column string) bool { return slices.Contains(c.columns, column) }) {
			return nil, fmt.Errorf("the header lacks the column %s; the columns are %s", strings.Join(required, " or "), k.known())
		}
	}
	c.remarked = len(c.columns) > 2 && c.columns[0] == remark && c.columns[1] == remark
	return c, nil
}

func (c *csvRows) next() (row, error) {
	first, err := c.in.nextFilled()
	if err != nil {
		return row{}, err
	}
	r := row{line: first.number, end: first.end}
	if first.tooLong {
		r.finish(nil, reasonTooLong)
		return r, nil
	}
	text := first.text
	var more []line
	if oddQuotes(text) {
		first.text = bytes.Clone(text)
		if text, more, err = c.untilQuotesClose(first.text); err != nil {
			return row{}, err
		}
	}
	cells, reason := c.parse(text)
	if reason != "" {
		// The quote that was never closed ends with its line, so that the rows after it are read as what they are.
		c.in.unread(more...)
		r.finish(first.text, "the row is not CSV: "+reason)
		return r, nil
	}
	if len(more) > 0 {
		r.end = more[len(more)-1].end
	}
	if len(cells) != len(c.columns) {
		r.finish(text, fmt.Sprintf("the row has %d fields and the header %d", len(cells), len(c.columns)))
		return r, nil
	}
	v := values{}
	for i, column := range c.columns {
		if cells[i] == "" {
			continue
		}
		if err := c.kind.add(v, column, cells[i]); err != nil {
			r.finish(text, err.Error())
			return r, nil
		}
	}
	r.check(c.kind, text, v)
	return r, nil
}

func oddQuotes(text []byte) bool { return bytes.Count(text, []byte{'"'})%2 == 1 }

// untilQuotesClose adds the lines after a first with an odd number of quotes, until it is even or the row too long.
func (c *csvRows) untilQuotesClose(first []byte) (text []byte, more []line, err error) {
	text = bytes.Clone(first)
	for open := true; open && len(text) <= maxRow; {
		l, err := c.in.next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				break
			}
			return nil, nil, err
		}
		l.text = bytes.Clone(l.text)
		more = append(more, l)
		if l.tooLong {
			break
		}
		text = append(append(text, '\n'), l.text...)
		open = open != oddQuotes(l.text)
	}
	return text, more, nil
}

// parse splits one record into its cells, or says why it cannot.
func (c *csvRows) parse(text []byte) (cells []string, reason string) {
	if c.parser == nil {
		c.parser = csv.NewReader(&c.record)
		c.parser.FieldsPerRecord = -1
	}
	c.record.Reset(text)
	cells, err := c.parser.Read()
	if err == nil {
		return cells, ""
	}
	c.parser = nil // it may hold the rest of the record
	if parseErr, ok := errors.AsType[*csv.ParseError](err); ok {
		err = parseErr.Err // without the place, which is in the record, not in the file
	}
	return nil, err.Error()
}

func (c *csvRows) extension() string { return ".csv" }

func (c *csvRows) failedHeader() []byte {
	return slices.Concat([]byte("line,error,"), c.withoutRemarks(c.header), []byte("\n"))
}

func (c *csvRows) failedRow(r row) []byte {
	reason := strings.ReplaceAll(r.reason, `"`, `""`)
	return slices.Concat([]byte(strconv.Itoa(r.line)+`,"`+reason+`",`), c.withoutRemarks(r.text), []byte("\n"))
}

// withoutRemarks cuts the line and the reason that a file of failed rows has in front, where they can be told.
func (c *csvRows) withoutRemarks(text []byte) []byte {
	if !c.remarked {
		return text
	}
	rest, ok := afterCell(text)
	if ok {
		rest, ok = afterCell(rest)
	}
	if !ok {
		return text
	}
	return rest
}

// afterCell returns what follows the first cell of a record and its comma.
func afterCell(text []byte) (rest []byte, ok bool) {
	end := 0
	for quoted := bytes.HasPrefix(text, []byte{'"'}); quoted; quoted = bytes.HasPrefix(text[end:], []byte{'"'}) {
		closing := bytes.IndexByte(text[end+1:], '"')
		if closing < 0 {
			return nil, false
		}
		end += 1 + closing + 1
	}
	_, rest, ok = bytes.Cut(text[end:], []byte{','})
	return rest, ok
}
