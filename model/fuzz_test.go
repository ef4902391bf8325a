package model

import (
	"errors"
	"regexp"
	"strings"
	"testing"
)

// FuzzPhone holds what is taken for a phone number to E.164, and to one form.
func FuzzPhone(f *testing.F) {
	for _, seed := range []string{
		"+1 (415) 555-2671", "+4930123456", "tel:+1-415-555-2671", "+1 415 555 2671 ext. 5", "0049 30 123456", "555-2671", "+٤٩٣٠١٢٣٤٥٦", "＋14155552671", "+", "",
		"tel:5552671;phone-context=+1415", "+1-800-FLOWERS", "+800 1234 5678", "+++1", strings.Repeat("9", 70),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, phone string) {
		normalized, fault := normalizePhone(phone)
		if fault != nil {
			if fault.rule == "" || normalized != "" {
				t.Errorf("%q is refused with %+v and %q", phone, fault, normalized)
			}
			return
		}
		if !regexp.MustCompile(`^\+[1-9]\d{1,14}$`).MatchString(normalized) {
			t.Errorf("%q becomes %q", phone, normalized)
		}
		if again, fault := normalizePhone(normalized); fault != nil || again != normalized {
			t.Errorf("%q becomes %q, and that %q, %v", phone, normalized, again, fault)
		}
	})
}

// FuzzCursor holds what is taken for a cursor to the ones that the list has given, letter by letter.
func FuzzCursor(f *testing.F) {
	id, _ := NewID()
	f.Add("list", Cursor{ID: id}.Encode("list"))
	f.Add("list", Cursor{ID: id, Value: "2026-03-09T14:02:06Z"}.Encode("list"))
	f.Add("list", Cursor{ID: id, Value: "Ünï"}.Encode("another"))
	for _, seed := range []string{"", "=", "Q1wLfgGc0vVtH3o8mkEvb18PHFVEb2U", "AAAA", strings.Repeat("A", 1000), "\x00"} {
		f.Add("list", seed)
	}
	f.Fuzz(func(t *testing.T, scope, cursor string) {
		page, err := PageArgs{After: &cursor}.Page(scope)
		if err == nil {
			if again := page.After.Encode(scope); again != strings.NewReplacer("\r", "", "\n", "").Replace(cursor) { // base64 passes over them
				t.Errorf("%q is taken for %q", cursor, again)
			}
			return
		}
		if known, ok := errors.AsType[*Error](err); !ok || known.Code != CodeBadUserInput || known.Field != "after" {
			t.Errorf("%q is refused with %v", cursor, err)
		}
		if page, err := (PageArgs{Before: new(Cursor{Value: cursor}.Encode(scope))}).Page(scope); err != nil || page.Before.Value != cursor {
			t.Errorf("the value %q comes back as %q, %v", cursor, page.Before.Value, err)
		}
	})
}
