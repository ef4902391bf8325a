package model

import (
	"fmt"
	"strings"
	"testing"
)

func TestPropertiesFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, want string }{
		{"a key of 64 characters", `{"` + strings.Repeat("a", 64) + `": 1}`, ""},
		{"a key of 65 characters", `{"` + strings.Repeat("a", 65) + `": 1}`, "TOO_LONG must have keys of 1 to 64"},
		{"an empty key", `{"": 1}`, "BLANK must have keys of 1 to 64"},
		{"a key in camel case", `{"aB": 1}`, "INVALID must have keys of 1 to 64"},

		{"numbers of all kinds", `{"a": 0, "b": -0.0, "c": 0.000000E+00, "d": 1e308, "e": 5e-324, "f": 12345678901234567890.50, "g": 1e0005}`, ""},
		{"a number of 1,024 characters", `{"n": 0.` + strings.Repeat("1", 1022) + `}`, ""},
		{"a number of 1,025 characters", `{"n": 0.` + strings.Repeat("1", 1023) + `}`, "TOO_LONG n must have at most 1024 characters; it has 1025"},
		{"a number of 1,024 characters when written out", `{"n": 0.` + strings.Repeat("1", 717) + `e-305}`, ""},
		{"a number of 1,025 characters when written out", `{"n": 0.` + strings.Repeat("1", 718) + `e-305}`, "TOO_LONG n must have at most 1024 characters without an exponent; it has 1025"},
		{"a number that is too large", `{"n": 1e400}`, "INVALID n must be a number that an IEEE 754 double can hold"},
		{"a number that is too small", `{"n": -1e-20000}`, "INVALID n must be a number that an IEEE 754 double can hold"},
		{"a zero of too many digits", `{"n": 0e-20000}`, "INVALID n must be a number that an IEEE 754 double can hold"},
		{"a zero of a large exponent", `{"n": 0.0E99999999999}`, "INVALID n must be a number that an IEEE 754 double can hold"},
		{"a number whose key comes again", `{"n": 1e-20000, "n": 1}`, "INVALID n must be a number that an IEEE 754 double can hold"},

		{"something behind the object", `{"n": 1} {}`, "INVALID must be a JSON object"},
		{"half an object", `{"n": 1`, "INVALID must be a JSON object"},
		{"nothing", ``, "INVALID must be a JSON object"},
		{"nothing in the object", `{}`, ""},
		{"a list in it", `{"n": [1], "m": 2}`, "INVALID n must be a string, a number or a boolean"},
		{"a null", `{"m": true, "n": null}`, "INVALID n must not be null"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := ""
			if f := Properties(c.text).check(false); f != nil {
				got = fmt.Sprint(f.code, " ", f.rule)
			}
			if (got == "") != (c.want == "") || !strings.HasPrefix(got, c.want) {
				t.Errorf("%q, not %q", got, c.want)
			}
		})
	}
}
