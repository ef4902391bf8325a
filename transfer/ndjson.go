package transfer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// wrapper is the member that the seed document's request wraps an identity in, and that a file of failed rows keeps
// the row in: as JSON, or as a string where it is none.
const wrapper = "customer_identity"

// ndjsonRows reads one JSON object a line. A name that is omitted or null keeps what is known, an empty one clears it.
type ndjsonRows struct{ in *lines }

func (n *ndjsonRows) next() (row, error) {
	l, err := n.in.nextFilled()
	if err != nil {
		return row{}, err
	}
	r := row{line: l.number, end: l.end}
	if l.tooLong {
		r.fail(nil, reasonTooLong)
		return r, nil
	}
	text, err := unwrap(l.text)
	if err != nil {
		r.fail(text, err.Error())
		return r, nil
	}
	v, err := parseObject(text)
	if err != nil {
		r.fail(text, err.Error())
		return r, nil
	}
	r.check(text, v)
	return r, nil
}

// unwrap returns the object that holds the fields.
func unwrap(text []byte) ([]byte, error) {
	if !bytes.Contains(text, []byte(wrapper)) {
		return text, nil
	}
	var members map[string]json.RawMessage
	_ = json.Unmarshal(text, &members) // what is no object has no members
	if members[wrapper] == nil {
		return text, nil
	}
	for name := range members {
		if f, ok := fields[name]; name != wrapper && (!ok || f != remark) {
			return text, fmt.Errorf("the row has the member %q beside %s", name, wrapper)
		}
	}
	var broken string
	if json.Unmarshal(members[wrapper], &broken) == nil {
		return []byte(broken), nil
	}
	return members[wrapper], nil
}

func parseObject(text []byte) (*values, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil || members == nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return nil, fmt.Errorf("the row is not JSON: %w", err)
		}
		return nil, errors.New("the row is not a JSON object")
	}
	var v values
	for name, value := range members {
		f, ok := fields[name]
		if !ok {
			return nil, fmt.Errorf("the row has the unknown member %q; the members are %s", name, knownFields)
		}
		if f == remark {
			continue
		}
		if v[f] != nil {
			return nil, fmt.Errorf("the row has %s in both spellings", fieldNames[f])
		}
		if json.Unmarshal(value, &v[f]) != nil {
			return nil, fmt.Errorf("%s must be a string", fieldNames[f])
		}
	}
	return &v, nil
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
	b.WriteString(`,"` + wrapper + `":`)
	b.Write(text)
	b.WriteString("}\n")
	return b.Bytes()
}

// quote returns the text as a JSON string.
func quote(text string) []byte {
	quoted, _ := json.Marshal(text) // a string has no way to fail
	return quoted
}
