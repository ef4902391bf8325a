package model

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/99designs/gqlgen/graphql"
)

// The bounds of Properties, of an object as a whole and of a number in it.
const (
	MaxProperties     = 100
	MaxPropertiesSize = 16 << 10 // bytes of JSON, as PostgreSQL writes it
	MaxNumber         = 1 << 10  // characters; a double has 327 at most, written out to the digits that tell it from others
)

// Properties is a flat JSON object, as text: keys in snake_case, values strings, numbers or booleans. A number keeps its
// value and the digits behind its point, and loses its exponent: 1e2 comes out as 100. Through GraphQL it is first read as
// a whole number of 64 bits or else as a double (RFC 8259, section 6), so that 0.10 comes out as 0.1.
type Properties json.RawMessage

// MarshalProperties writes properties for GraphQL.
func MarshalProperties(p Properties) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) { _, _ = w.Write(p) })
}

// UnmarshalProperties reads properties from GraphQL: BAD_USER_INPUT where they are not an object. Their own rules are
// checked with the input's.
func UnmarshalProperties(v any) (Properties, error) {
	object, ok := v.(map[string]any)
	if !ok {
		return nil, BadInput("", "Properties must be an object")
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // six bytes for one would count against MaxPropertiesSize
	if err := encoder.Encode(object); err != nil {
		return nil, BadInput("", "Properties must be an object of JSON values")
	}
	return bytes.TrimSpace(text.Bytes()), nil
}

// Scan reads properties from a row.
func (p *Properties) Scan(src any) error {
	switch src := src.(type) {
	case string:
		*p = Properties(src)
	case []byte:
		*p = bytes.Clone(src)
	case nil:
		*p = nil
	default:
		return fmt.Errorf("properties cannot be read from %T", src)
	}
	return nil
}

// MarshalJSON writes the text as it is.
func (p Properties) MarshalJSON() ([]byte, error) { return json.RawMessage(p).MarshalJSON() }

// check holds properties to their rules; a null removes its key from what is known, where that can be.
func (p Properties) check(nulls bool) *fault {
	decoder := json.NewDecoder(bytes.NewReader(p))
	decoder.UseNumber() // so that a number that is too large is known by its key
	if start, _ := decoder.Token(); start != json.Delim('{') || !json.Valid(p) {
		return &fault{UserErrorInvalid, "must be a JSON object"}
	}
	if len(p)-escapeLength*bytes.Count(p, []byte(`\u`)) > MaxPropertiesSize { // else PostgreSQL will tell
		const rule = "must have at most %d bytes of JSON as PostgreSQL writes it; they have %d as sent"
		return &fault{UserErrorTooLong, fmt.Sprintf(rule, MaxPropertiesSize, len(p))}
	}
	n := 0
	for ; decoder.More(); n++ { // those too whose key comes again, since PostgreSQL reads them all
		token, _ := decoder.Token()
		key, _ := token.(string)
		if f := checkSnakeCase(key); f != nil {
			const rule = "must have keys of 1 to 64 of a-z, 0-9 and _, beginning with a letter; %.80q is none"
			return &fault{f.code, fmt.Sprintf(rule, Redact(key))}
		}
		value, _ := decoder.Token()
		if f := checkProperty(value, nulls); f != nil {
			return &fault{f.code, key + " " + f.rule}
		}
	}
	if n > MaxProperties {
		return &fault{UserErrorTooLong, fmt.Sprintf("must have at most %d keys; there are %d", MaxProperties, n)}
	}
	return nil
}

// escapeLength is by how many bytes an escape such as \u4e2d is longer, at most, than what PostgreSQL writes in its place.
const escapeLength = len(`\u0041`) - len("A")

// layout takes away the control characters that texts of several lines have, and texts of properties may have.
var layout = strings.NewReplacer("\t", "", "\n", "", "\r", "")

// checkProperty checks the value that begins with the token.
func checkProperty(value json.Token, nulls bool) *fault {
	switch value := value.(type) {
	case string:
		return checkText(layout.Replace(value), MaxPropertiesSize)
	case json.Number:
		return checkNumber(value.String())
	case nil:
		if !nulls {
			return &fault{UserErrorInvalid, "must not be null"}
		}
	case json.Delim:
		return &fault{UserErrorInvalid, "must be a string, a number or a boolean: properties are flat"}
	}
	return nil
}

// checkNumber holds a number to the range of doubles, far beyond which PostgreSQL would read it no more, and to a length that
// it keeps when PostgreSQL has written it, so that an export can be imported.
func checkNumber(number string) *fault {
	if len(number) > MaxNumber {
		return &fault{UserErrorTooLong, fmt.Sprintf("must have at most %d characters; it has %d", MaxNumber, len(number))}
	}
	digits, exponent, _ := strings.Cut(strings.ToLower(number), "e")
	if strings.Trim(digits, "-0.") == "" { // a zero; PostgreSQL minds its exponent as well
		number = "1e" + cmp.Or(exponent, "0")
	}
	if f, err := strconv.ParseFloat(number, 64); err != nil || f == 0 {
		return &fault{UserErrorInvalid, "must be a number that an IEEE 754 double can hold"}
	}
	shift, _ := strconv.Atoi(exponent) // small, for a double that has so few digits holds the number
	if n := len(digits) + max(shift, -shift); n > MaxNumber {
		return &fault{UserErrorTooLong, fmt.Sprintf("must have at most %d characters without an exponent; it has %d", MaxNumber, n)}
	}
	return nil
}
