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
		{"a token as a name", "Q_akin_0123abcdXYZ", "Q_(not shown)"},
		{"a name with numbers", "Page2_of_10_Sorted3", "Page2_of_10_Sorted3"},
		{"a token", "Bearer akin_0123abcdXYZ: no", "Bearer (not shown): no"},
		{"what is no secret", `must be 1 to 100; it is 1000 (SQLSTATE 23505)`, `must be 1 to 100; it is 1000 (SQLSTATE 23505)`},
		{"an address", "dial tcp 192.168.100.200:5432: refused", "dial tcp 192.168.100.200:5432: refused"},
	} {
		if got := Redact(test.text); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
