package model

import (
	"strings"
	"testing"
)

func TestNormalizePlatform(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, platform, want string
		code                 UserErrorCode // empty where the platform is accepted
	}{
		{"a name", "woocommerce", "woocommerce", ""},
		{"upper case", "WooCommerce", "woocommerce", ""},
		{"digits, _ and -", "2nd_shop-eu", "2nd_shop-eu", ""},
		{"64 characters", strings.Repeat("x", 64), strings.Repeat("x", 64), ""},
		{"65 characters", strings.Repeat("x", 65), "", UserErrorTooLong},
		{"nothing", "", "", UserErrorBlank},
		{"space", " \t", "", UserErrorBlank},
		{"space around it", " shopify", "", UserErrorInvalid},
		{"a leading _", "_shop", "", UserErrorInvalid},
		{"a leading -", "-shop", "", UserErrorInvalid},
		{"a dot", "shop.eu", "", UserErrorInvalid},
		{"a letter outside ASCII", "böhm", "", UserErrorInvalid},
		{"KELVIN SIGN, which is k in lower case", "\u212aooomo", "", UserErrorInvalid},
		{"İ, which is i in lower case", "shop\u0130fy", "", UserErrorInvalid},
		{"NUL", "shop\x00", "", UserErrorInvalid},
		{"invalid UTF-8", "shop\xff", "", UserErrorInvalid},
	}
	for _, c := range cases {
		got, f := normalizePlatform(c.platform)
		if got != c.want || (f == nil) != (c.code == "") || f != nil && f.code != c.code {
			t.Errorf("%s: %q became %q, %+v; want %q, %s", c.name, c.platform, got, f, c.want, c.code)
		}
	}
}

func TestCheckName(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, value string
		code        UserErrorCode
	}{
		{"empty, which clears it", "", ""},
		{"a name", "Jane", ""},
		{"space around it", " Jane ", ""},
		{"an emoji of several code points", "🧑‍🚀", ""},
		{"right to left with its mark", "\u200fשרה", ""},
		{"255 characters of 4 bytes", strings.Repeat("𝔇", 255), ""},
		{"256 characters", strings.Repeat("x", 256), UserErrorTooLong},
		{"only space", "\u3000 ", UserErrorBlank},
		{"NUL", "Ja\x00ne", UserErrorInvalid},
		{"a line break", "Ja\nne", UserErrorInvalid},
		{"a C1 control", "Ja\u0085ne", UserErrorInvalid},
		{"U+FFFD", "Ja\ufffdne", UserErrorInvalid},
		{"invalid UTF-8", "Ja\xc3", UserErrorInvalid},
	}
	for _, c := range cases {
		if f := checkName(&c.value); (f == nil) != (c.code == "") || f != nil && f.code != c.code {
			t.Errorf("%s: %+v, want %s", c.name, f, c.code)
		}
	}
	if f := checkName(nil); f != nil {
		t.Errorf("no name: %+v", f)
	}
}

func TestCheckLabel(t *testing.T) {
	t.Parallel()
	for label, ok := range map[string]bool{
		"default": true, "Zoë's shop": true, strings.Repeat("ü", 64): true, strings.Repeat("x", 65): false, "": false, " ": false, "a\tb": false,
	} {
		if err := CheckLabel("name", label); (err == nil) != ok {
			t.Errorf("%q: %v", label, err)
		}
	}
}
