package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/99designs/gqlgen/graphql"
)

// The bounds of Properties, of an object as a whole.
const (
	MaxProperties     = 100
	MaxPropertiesSize = 16 << 10 // bytes of JSON, as PostgreSQL writes it
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
	var values map[string]any
	if err := json.Unmarshal(p, &values); err != nil || values == nil {
		return &fault{UserErrorInvalid, "must be a JSON object"}
	}
	if len(values) > MaxProperties {
		return &fault{UserErrorTooLong, fmt.Sprintf("must have at most %d keys; there are %d", MaxProperties, len(values))}
	}
	if len(p) > MaxPropertiesSize {
		return tooLarge(len(p))
	}
	for key, value := range values {
		if f := checkSnakeCase(key); f != nil {
			const rule = "must have keys of 1 to 64 of a-z, 0-9 and _, beginning with a letter; %.80q is none"
			return &fault{f.code, fmt.Sprintf(rule, Redact(key))}
		}
		switch value := value.(type) {
		case string:
			if f := checkText(value, MaxPropertiesSize); f != nil {
				return &fault{f.code, key + " " + f.rule}
			}
		case float64, bool:
		case nil:
			if !nulls {
				return &fault{UserErrorInvalid, key + " must not be null"}
			}
		default:
			return &fault{UserErrorInvalid, key + " must be a string, a number or a boolean: properties are flat"}
		}
	}
	return nil
}

func tooLarge(size int) *fault {
	return &fault{UserErrorTooLong, fmt.Sprintf("must have at most %d bytes of JSON; they have %d", MaxPropertiesSize, size)}
}
