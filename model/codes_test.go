package model

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/currency"
	"golang.org/x/text/language"
)

// TestCodes holds each list against that of golang.org/x/text, which is older: what they differ in is known by name, so
// that no code of ours is a slip of the pen.
func TestCodes(t *testing.T) {
	t.Parallel()
	inUse := map[string]bool{}
	for units := currency.Query(); units.Next(); {
		inUse[units.Unit().String()] = true
	}
	for _, c := range []struct {
		name            string
		codes           map[string]bool
		size            int
		length          int
		known           func(code string) bool
		missing, differ string // that the library does not know, or counts besides
	}{
		{"languages", languages, 183, 2, func(code string) bool {
			_, err := language.ParseBase(code)
			return err == nil
		}, "", "bh in iw ji jw mo sh"},
		{"countries", countries, 250, 2, func(code string) bool {
			region, err := language.ParseRegion(code)
			return err == nil && region.IsCountry() && region.Canonicalize() == region && region.String() == code
		}, "", "AC AN CP CQ CS DG EA EZ FQ IC NT PC SU TA UN YU"},
		{"currencies", currencies, 177, 3, func(code string) bool {
			_, err := currency.ParseISO(code)
			return err == nil && (inUse[code] || currencies[code])
		}, "MRU SLE UYW VED VES XAD XCG ZWG", "ANG CUC HRK MRO SLL VEF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var missing, differ []string
			for code := range all(c.length, c.name != "languages") {
				switch {
				case c.codes[code] && !c.known(code):
					missing = append(missing, code)
				case !c.codes[code] && c.known(code):
					differ = append(differ, code)
				}
			}
			if diff := cmp.Diff(c.missing, strings.Join(missing, " ")); diff != "" {
				t.Errorf("unknown to the library (-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(c.differ, strings.Join(differ, " ")); diff != "" {
				t.Errorf("known to the library alone (-want +got)\n%s", diff)
			}
			if len(c.codes) != c.size {
				t.Errorf("there are %d, not %d", len(c.codes), c.size)
			}
		})
	}
}

// all yields every code of so many letters.
func all(length int, upper bool) func(func(string) bool) {
	return func(yield func(string) bool) {
		n := 1
		for range length {
			n *= 26
		}
		for i := range n {
			code := make([]byte, length)
			for j := length - 1; j >= 0; j-- {
				code[j] = 'a' + byte(i%26)
				i /= 26
			}
			s := string(code)
			if upper {
				s = strings.ToUpper(s)
			}
			if !yield(s) {
				return
			}
		}
	}
}

// faults tells each fault of an input in a line.
func faults(all []*UserError) []string {
	lines := make([]string, len(all))
	for i, f := range all {
		lines[i] = fmt.Sprint(f.Code, " ", strings.Join(f.Field, "."))
	}
	slices.Sort(lines)
	return lines
}
