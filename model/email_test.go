package model

import (
	"strings"
	"testing"
	"testing/quick"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

func TestNormalizeEmail(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300)
	cases := []struct {
		name, email, want string // want is empty where the address is refused
	}{
		{"a plain address", "jane@doe.com", "jane@doe.com"},
		{"upper case", "JANE@DOE.COM", "jane@doe.com"},
		{"space around it", " \u00a0jane@doe.com\u3000", "jane@doe.com"},
		{"a trailing dot", "jane@doe.com.", "jane@doe.com"},
		{"a tag is kept", "jane+news@doe.com", "jane+news@doe.com"},
		{"dots are kept", "j.a.n.e@gmail.com", "j.a.n.e@gmail.com"},
		{"every character that an atom may have", "!#$%&'*+/=?^_`{|}~-@doe.com", "!#$%&'*+/=?^_`{|}~-@doe.com"},
		{"an international domain", "jane@Bücher.example", "jane@xn--bcher-kva.example"},
		{"its ASCII form", "jane@XN--BCHER-KVA.example", "jane@xn--bcher-kva.example"},
		{"its decomposed form", "jane@bu\u0308cher.example", "jane@xn--bcher-kva.example"},
		{"an ideographic full stop", "jane@doe。com", "jane@doe.com"},
		{"a full-width domain", "jane@ｄｏｅ.com", "jane@doe.com"},
		{"KELVIN SIGN in a domain is a k, as browsers have it", "jane@\u212aelvin.com", "jane@kelvin.com"},
		{"a composed local part", "zo\u00eb@doe.com", "zo\u00eb@doe.com"},
		{"a decomposed local part is the same", "zoe\u0308@doe.com", "zo\u00eb@doe.com"},
		{"upper case outside ASCII", "ZOË@doe.com", "zo\u00eb@doe.com"},
		{"decomposed upper case outside ASCII", "ZOE\u0308@doe.com", "zo\u00eb@doe.com"},
		{"KELVIN SIGN is no k", "\u212aim@doe.com", "\u212aim@doe.com"},
		{"K is a k", "Kim@doe.com", "kim@doe.com"},
		{"İ is no i", "\u0130da@doe.com", "\u0130da@doe.com"},
		{"decomposed İ is no i", "I\u0307da@doe.com", "\u0130da@doe.com"},
		{"ı is no i", "\u0131da@doe.com", "\u0131da@doe.com"},
		{"ſ is no s", "\u017fam@doe.com", "\u017fam@doe.com"},
		{"GREEK VARIA is no grave accent", "a\u1fefb@doe.com", "a\u1fefb@doe.com"},
		{"an emoji", "🦊@doe.com", "🦊@doe.com"},
		{"right to left", "שרה@doe.com", "שרה@doe.com"},
		{"a domain with a joiner that its script needs", "jane@نامه\u200cای.com", "jane@xn--mgba3gch31f060k.com"},
		{"254 characters", strings.Repeat("x", 246) + "@doe.com", strings.Repeat("x", 246) + "@doe.com"},

		{"255 characters", strings.Repeat("x", 247) + "@doe.com", ""},
		{"too long once its domain is ASCII", strings.Repeat("x", 170) + "@" + strings.Repeat("ü.", 20) + "com", ""},
		{"nothing", "", ""},
		{"only space", " \u00a0", ""},
		{"no @", "jane.doe.com", ""},
		{"no local part", "@doe.com", ""},
		{"no domain", "jane@", ""},
		{"two @", "jane@doe@doe.com", ""},
		{"two addresses", "jane@doe.com, bob@doe.com", ""},
		{"a domain without a dot", "jane@localhost", ""},
		{"a domain that is a dot", "jane@.", ""},
		{"a domain of dots", "jane@doe..com", ""},
		{"two trailing dots", "jane@doe.com..", ""},
		{"a leading dot in the domain", "jane@.doe.com", ""},
		{"a leading hyphen in the domain", "jane@-doe.com", ""},
		{"an underscore in the domain", "jane@my_doe.com", ""},
		{"a space in the domain", "jane@doe .com", ""},
		{"a label of 64 characters", "jane@" + strings.Repeat("x", 64) + ".com", ""},
		{"broken Punycode", "jane@xn--\u00fc.com", ""},
		{"an IP address literal", "jane@[127.0.0.1]", ""},
		{"mixed directions in a label", "jane@aא.com", ""},
		{"a display name", "Jane <jane@doe.com>", ""},
		{"angle brackets", "<jane@doe.com>", ""},
		{"a comment", "jane(x)@doe.com", ""},
		{"a quoted local part", `"jane"@doe.com`, ""},
		{"a quoted space", `"ja ne"@doe.com`, ""},
		{"a space", "ja ne@doe.com", ""},
		{"a space that does not break", "ja\u00a0ne@doe.com", ""},
		{"a space of no width", "\u200bjane@doe.com", ""},
		{"an IP address without brackets", "jane@127.0.0.1", ""},
		{"a number for a top-level domain", "jane@1.2", ""},
		{"a leading dot", ".jane@doe.com", ""},
		{"a trailing dot in the local part", "jane.@doe.com", ""},
		{"two dots", "ja..ne@doe.com", ""},
		{"a line break", "jane@doe.com\n", ""},
		{"a header behind it", "jane@doe.com\r\nBcc: bob@doe.com", ""},
		{"NUL", "ja\x00ne@doe.com", ""},
		{"DEL", "ja\x7fne@doe.com", ""},
		{"U+FFFD", "ja\ufffdne@doe.com", ""},
		{"invalid UTF-8", "ja\xffne@doe.com", ""},
		{"a surrogate in UTF-8", "ja\xed\xa0\x80ne@doe.com", ""},
		{"far too long", long + "@" + long + ".com", ""},
	}
	for _, c := range cases {
		got, f := normalizeEmail(c.email)
		if got != c.want || (f == nil) != (c.want != "") {
			t.Errorf("%s: %q became %q, %v; want %q", c.name, c.email, got, f, c.want)
		}
	}
}

func TestNormalizeEmailIsIdempotent(t *testing.T) {
	t.Parallel()
	accepted := 0
	idempotent := func(local, domain string, plain bool) bool {
		if plain { // half of the addresses have a chance
			domain = "doe.com"
		}
		once, f := normalizeEmail(local + "@" + domain)
		if f != nil {
			return true
		}
		accepted++
		twice, f := normalizeEmail(once)
		return f == nil && twice == once
	}
	if err := quick.Check(idempotent, &quick.Config{MaxCount: 2_000}); err != nil {
		t.Error(err)
	}
	// Every character that composing or lowering may change, by itself, behind another and with an accent behind it.
	for r := range utf8.MaxRune + 1 {
		if unicode.ToLower(r) == r && unicode.ToUpper(r) == r && !unicode.IsMark(r) && norm.NFC.IsNormalString(string(r)) {
			continue
		}
		for _, local := range []string{string(r), "a" + string(r), string(r) + "\u0301"} {
			if !idempotent(local, "", true) {
				t.Errorf("%q is not stable", local)
			}
		}
	}
	if accepted < 5_000 {
		t.Errorf("only %d addresses were accepted", accepted)
	}
}

// TestNormalizeEmailKeepsPeopleApart holds that no character outside ASCII becomes one inside it in a local part.
func TestNormalizeEmailKeepsPeopleApart(t *testing.T) {
	t.Parallel()
	for r := rune(utf8.RuneSelf); r <= utf8.MaxRune; r++ {
		if got := normalizeLocalPart("a" + string(r) + "b"); isASCII(got) {
			t.Errorf("%U became %q", r, got)
		}
	}
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

func FuzzNormalizeEmail(f *testing.F) {
	for _, email := range []string{"jane@doe.com", "Zoe\u0308@B\u00fccher.example.", "\u212a@\u212a.com", "\"a b\"@doe.com", "a@b@c.d", "ja\xff@doe.com"} {
		f.Add(email)
	}
	f.Fuzz(func(t *testing.T, email string) {
		once, refused := normalizeEmail(email)
		if refused != nil {
			return
		}
		if twice, refused := normalizeEmail(once); refused != nil || twice != once {
			t.Errorf("%q became %q, and then %q, %v", email, once, twice, refused)
		}
		if n := utf8.RuneCountInString(once); n < 3 || n > MaxEmail {
			t.Errorf("%q has %d characters", once, n)
		}
	})
}
