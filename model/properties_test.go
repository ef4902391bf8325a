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
