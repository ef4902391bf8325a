package model

import (
	"net/netip"
	"regexp"
)

// secrets are what must never stand in a log or in the text of an error: tokens, emails, and digits enough for a phone
// number.
var secrets = regexp.MustCompile(`akin_\w*|[^\s"'()<>,;:=]+@[^\s"'()<>,;:=]+|\+?\d(?:[ ()._-]{0,2}\d){6,}`)

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
