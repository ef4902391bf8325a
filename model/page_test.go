package model

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/quick"

	"github.com/google/uuid"
)

func TestCursorRoundTrip(t *testing.T) {
	t.Parallel()
	same := func(scope, value string, id uuid.UUID) bool {
		encoded := Cursor{value, id}.Encode(scope)
		got, err := decodeCursor(scope, "after", &encoded)
		return err == nil && got == Cursor{value, id}
	}
	if err := quick.Check(same, nil); err != nil {
		t.Error(err)
	}
	if got, err := decodeCursor("scope", "after", nil); err != nil || got != (Cursor{}) {
		t.Errorf("no cursor is %v, %v", got, err)
	}
}

func TestBrokenCursorsAreRefused(t *testing.T) {
	t.Parallel()
	const scope = "store customers EMAIL ASC"
	encoded := Cursor{"jane@doe.com", uuid.MustParse("01a20222-d8e7-7b3e-bf36-d8e1808d5c52")}.Encode(scope)
	refused := func(what, scope, cursor string) {
		t.Helper()
		got, err := decodeCursor(scope, "before", &cursor)
		if e, ok := errors.AsType[*Error](err); !ok || e.Code != CodeBadUserInput || e.Field != "before" {
			t.Errorf("%s: %q became %v, %v", what, cursor, got, err)
		}
	}
	decoded, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	for i := range decoded {
		for flip := 1; flip < 256; flip++ {
			broken := slices.Clone(decoded)
			broken[i] ^= byte(flip)
			refused("another byte", scope, base64.RawURLEncoding.EncodeToString(broken))
		}
	}
	for i := range encoded {
		refused("a character less", scope, encoded[:i]+encoded[i+1:])
		for c := range 256 {
			if byte(c) != encoded[i] {
				refused("another character", scope, encoded[:i]+string([]byte{byte(c)})+encoded[i+1:])
			}
		}
	}
	for _, other := range []string{"", "=", "jane", strings.Repeat("A", 27), encoded + "A", encoded + "=", encoded + encoded, "🦊"} {
		refused("other text", scope, other)
	}
	for _, other := range []string{"", "stor2 customers EMAIL ASC", "store customers EMAIL DESC", "store customers LAST_NAME ASC"} {
		refused("the scope "+other, other, encoded)
	}
}

func TestPageArgs(t *testing.T) {
	t.Parallel()
	n := func(n int) *int { return &n }
	for name, c := range map[string]struct {
		args  PageArgs
		size  int // 0 where refused
		field string
	}{
		"nothing":        {PageArgs{}, 20, ""},
		"first":          {PageArgs{First: n(1)}, 1, ""},
		"last":           {PageArgs{Last: n(100)}, 100, ""},
		"first and last": {PageArgs{First: n(1), Last: n(1)}, 0, "first"},
		"first of 0":     {PageArgs{First: n(0)}, 0, "first"},
		"first of -1":    {PageArgs{First: n(-1)}, 0, "first"},
		"first of 101":   {PageArgs{First: n(101)}, 0, "first"},
		"last of 0":      {PageArgs{Last: n(0)}, 0, "last"},
		"last of 101":    {PageArgs{Last: n(101)}, 0, "last"},
	} {
		page, err := c.args.Page("scope")
		e, refused := errors.AsType[*Error](err)
		switch {
		case c.size > 0 && (err != nil || page.Size != c.size || page.Backward != (c.args.Last != nil)):
			t.Errorf("%s: %+v, %v", name, page, err)
		case c.size == 0 && (!refused || e.Code != CodeBadUserInput || e.Field != c.field):
			t.Errorf("%s: %v", name, err)
		}
	}
}
