package model

import "testing"

func TestRedact(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, text, want string }{
		{"an email", `"jane@doe.com" is not valid`, `"(not shown)" is not valid`},
		{"an email of another script", "für jäne+news@bücher.example: nein", "für (not shown): nein"},
		{"an email in a row of PostgreSQL's", `cannot take (1,jane@doe.com,,"a b")`, `cannot take (1,(not shown),,"a b")`},
		{"a phone number", "$phone: +442079460958 is none", "$phone: (not shown) is none"},
		{"a phone number as people write it", "call +1 (415) 555-2671 now", "call (not shown) now"},
		{"a phone number without its country", "0207 946 0958", "(not shown)"},
		{"a phone number with dots", "415.555.2671", "(not shown)"},
		{"a phone number as a name", "find_14155552671", "find_(not shown)"},
		{"a phone number as a name, in parts", "_1_415_555_2671", "_(not shown)"},
		{"a phone number with slashes", "call +49 / 30 / 12 34 56 now", "call (not shown) now"},
		{"a phone number with a zero in brackets", "+44 / (0) 20 7946 0958", "(not shown)"},
		{"a phone number with the dashes and spaces of printers", "+49\u00a030\u201312\u201134\u221256", "(not shown)"},
		{"a phone number with a fullwidth plus", "is ＋14155552671 known", "is (not shown) known"},
		{"a phone number in fullwidth", "＋１４１５（５５５）２６７１", "(not shown)"},
		{"a phone number in Arabic digits", "is +٤٩٣٠١٢٣٤٥٦ known", "is (not shown) known"},
		{"a phone number in Devanagari digits", "+४९ ३० १२३४५६", "(not shown)"},
		{"a phone number in letters", "call +1-800-FLOWERS now", "call (not shown) now"},
		{"a phone number in letters, in parts", "+1 (800) GOT-JUNK", "(not shown)"},
		{"a token as a name", "Q_akin_0123abcdXYZ", "Q_(not shown)"},
		{"a name with numbers", "Page2_of_10_Sorted3", "Page2_of_10_Sorted3"},
		{"a token", "Bearer akin_0123abcdXYZ: no", "Bearer (not shown): no"},
		{"what is no secret", `must be 1 to 100; it is 1000 (SQLSTATE 23505)`, `must be 1 to 100; it is 1000 (SQLSTATE 23505)`},
		{"words and a few digits", "a plus of +12 rows, +0000 UTC, 1 / 2 / 3 of 10", "a plus of +12 rows, +0000 UTC, 1 / 2 / 3 of 10"},
		{"an address", "dial tcp 192.168.100.200:5432: refused", "dial tcp 192.168.100.200:5432: refused"},
	} {
		if got := Redact(test.text); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
