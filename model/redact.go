package model

import (
	"net/netip"
	"regexp"
)

// gap is what may stand between two digits of a phone number, much as package phonenumbers takes it.
const gap = `[\p{Zs}\p{Pd}\p{Cf}()（）./．／_~−]{0,4}`

// secrets are what must never stand in a log or in the text of an error: tokens, emails, and digits of any script, enough
// for a phone number. Behind a plus and three digits, letters are as good (+1-800-FLOWERS).
var secrets = regexp.MustCompile(`akin_\w*|[^\s"'()<>,;:=]+@[^\s"'()<>,;:=]+|` +
	`[+＋]?\p{Nd}(?:` + gap + `\p{Nd}){6,}|[+＋]\p{Nd}(?:` + gap + `\p{Nd}){2,}` + gap + `[A-Za-z](?:[.-]?[A-Za-z\p{Nd}]){3,}`)

// Redacted is what Redact puts in the place of a secret.
const Redacted = "(not shown)"

// Redact returns the text with Redacted in the place of each token, email and phone number. It is for texts that
// others sent or that quote them, such as the name of an operation or an error of PostgreSQL's; some other long numbers go
// with them.
func Redact(text string) string {
	return secrets.ReplaceAllStringFunc(text, func(found string) string {
		if _, err := netip.ParseAddr(found); err == nil { // whoever looks for the database has to see where
			return found
		}
		return Redacted
	})
}
