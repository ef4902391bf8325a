package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// sample is a customer of the first store that an operation asks for, or whose page it goes on from.
type sample struct {
	key int64
	id  string
	// ids is how many IDs an answer for this sample has: see operation.sampled.
	ids map[string]int // by operation
}

// template is a text with holes for variables, all of the same length, so that a request is made by writing digits.
type template struct {
	text  []byte
	holes []filling
	draws []variable
}

type filling struct {
	at       int // where its digits begin
	variable int // in draws
	add      int64
}

const digits = 12 // of every number in a hole

func newTemplate(text string, draws []variable) (*template, error) {
	t := &template{draws: draws}
	for {
		found := hole.FindStringSubmatchIndex(text)
		if found == nil {
			t.text = append(t.text, text...)
			return t, nil
		}
		name, index := text[found[2]:found[3]], 0
		if found[4] < found[5] {
			index, _ = strconv.Atoi(text[found[4]:found[5]]) // digits by the pattern
		}
		v := 0
		for v < len(draws) && draws[v].name != name {
			v++
		}
		if v == len(draws) {
			return nil, fmt.Errorf("no variable %s for %s", name, text[found[0]:found[1]])
		}
		t.text = append(t.text, text[:found[0]]...)
		t.holes = append(t.holes, filling{len(t.text), v, int64(index) * draws[v].step})
		t.text = append(t.text, strings.Repeat("0", digits)...)
		text = text[found[1]:]
	}
}

// draw returns a value for each variable.
func (t *template) draw(random *rand.Rand, values []int64) []int64 {
	values = values[:0]
	for _, v := range t.draws {
		values = append(values, v.low+random.Int64N(v.count))
	}
	return values
}

// fill writes the values into the holes of dst, which is a copy of the template's text.
func (t *template) fill(dst []byte, values []int64) {
	for _, h := range t.holes {
		n := values[h.variable] + h.add
		for i := h.at + digits - 1; i >= h.at; i-- {
			dst[i] = byte('0' + n%10)
			n /= 10
		}
	}
}

// body returns an operation's request body for a sample, in the words of a server of this flavour; cursor is where the
// sample stands in its lists.
func (op *operation) body(flavour string, s *sample, cursor string) (string, error) {
	document, variables := op.document, op.variables
	if flavour == postgraphile {
		document, variables = op.postgraphile, op.pgVariables
	}
	if s != nil {
		variables = strings.NewReplacer("@key@", strconv.FormatInt(s.key, 10), "@cursor@", cursor).Replace(variables)
	}
	text, err := json.Marshal(map[string]any{"query": document, "variables": json.RawMessage(variables)})
	return string(text), err
}

// request is what goes over the wire, and what has to come back.
type request struct {
	*template
	want []count
}

// requests returns the operation's requests to a server: one for each sample, or one that is filled anew each time.
func (op *operation) requests(s *server, samples []*sample) ([]request, error) {
	if !op.sampled {
		samples = []*sample{nil}
	}
	all := make([]request, len(samples))
	for i, one := range samples {
		cursor, want := "", op.want
		if one != nil {
			cursor, want = s.cursors[one.id], []count{{`"id":`, one.ids[op.name]}}
		}
		body, err := op.body(s.flavour, one, cursor)
		if err != nil {
			return nil, err
		}
		// The holes are not measured yet: each is filled with as many digits as its length must count.
		length := len(hole.ReplaceAllString(body, strings.Repeat("0", digits)))
		text := fmt.Sprintf("POST /graphql HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nAccept: application/json\r\n"+
			"Content-Length: %d\r\n%s\r\n%s", s.address, length, s.header, body)
		if all[i].template, err = newTemplate(text, op.draws); err != nil {
			return nil, fmt.Errorf("%s: %w", op.name, err)
		}
		all[i].want = want
	}
	return all, nil
}
