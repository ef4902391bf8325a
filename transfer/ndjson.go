package transfer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"akin/model"
)

// ndjsonRows reads one JSON object a line. What is omitted says nothing, so that it keeps what is known.
type ndjsonRows struct {
	kind *kind
	in   *lines
}

func (n *ndjsonRows) next() (row, error) {
	l, err := n.in.nextFilled()
	if err != nil {
		return row{}, err
	}
	r := row{line: l.number, end: l.end}
	if l.tooLong {
		r.finish(nil, reasonTooLong)
		return r, nil
	}
	text, err := n.unwrap(l.text)
	if err != nil {
		r.finish(text, err.Error())
		return r, nil
	}
	v, err := n.kind.parse(text)
	if err != nil {
		r.finish(text, err.Error())
		return r, nil
	}
	r.check(n.kind, text, v)
	return r, nil
}

// unwrap returns the object that holds the fields.
func (n *ndjsonRows) unwrap(text []byte) ([]byte, error) {
	wrapper := n.kind.wrapper
	if !bytes.Contains(text, []byte(`"`+wrapper+`"`)) {
		return text, nil
	}
	members, _ := object(text) // what is no object has no members
	if members[wrapper] == nil {
		return text, nil
	}
	for name := range members {
		if column, _ := n.kind.column(name); name != wrapper && column != remark {
			return text, fmt.Errorf("the row has the member %q beside %s", model.Redact(name), wrapper)
		}
	}
	var broken string
	if json.Unmarshal(members[wrapper], &broken) == nil {
		return []byte(broken), nil
	}
	return n.unwrap(members[wrapper]) // a row that was wrapped when it failed is so twice
}

func (n *ndjsonRows) extension() string { return ".ndjson" }

func (n *ndjsonRows) failedHeader() []byte { return nil }

func (n *ndjsonRows) failedRow(r row) []byte {
	text := r.text
	if !json.Valid(text) {
		text = quote(string(text))
	}
	var b bytes.Buffer
	b.WriteString(`{"line":` + strconv.Itoa(r.line) + `,"error":`)
	b.Write(quote(r.reason))
	b.WriteString(`,"` + n.kind.wrapper + `":`)
	b.Write(text)
	b.WriteString("}\n")
	return b.Bytes()
}

// quote returns the text as a JSON string.
func quote(text string) []byte {
	quoted, _ := json.Marshal(text) // a string has no way to fail
	return quoted
}
