package model

import (
	"fmt"
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// domains maps a domain name to its ASCII form, strictly: UTS 46 lookup mapping, the host name characters of RFC 1123,
// the bidi and contextual rules of RFC 5891 to 5893, and the lengths of RFC 1035.
var domains = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.ValidateLabels(true), idna.CheckHyphens(true),
	idna.CheckJoiners(true), idna.StrictDomainName(true), idna.VerifyDNSLength(true))

const notAnAddress = "must be an email address, such as jane@doe.com"

// normalizeEmail returns the form that all spellings of one address share: trimmed, composed (NFC), lower-case, the
// domain in ASCII without a trailing dot. Nothing is stripped that tells two mailboxes apart at some provider (dots,
// +tags). It is computed here and stored, because PostgreSQL's lower(), citext and ICU disagree by version.
func normalizeEmail(email string) (string, *fault) {
	if f := checkRequired(email, MaxEmail); f != nil {
		return "", f
	}
	address := strings.TrimSpace(email)
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return "", &fault{UserErrorInvalid, notAnAddress}
	}
	if strings.ContainsFunc(address[:at], isInvisible) { // RFC 6531 would let two addresses look the same
		return "", &fault{UserErrorInvalid, "must not have white space or invisible characters before the @"}
	}
	domain, err := domains.ToASCII(strings.TrimSuffix(address[at+1:], "."))
	if err == nil { // the bidirectional rules see only now what the mapping made (\u2136 becomes a Hebrew letter)
		domain, err = domains.ToASCII(domain)
	}
	// RFC 7085: no address lives on a domain without a dot. RFC 5321: an IP address would stand in brackets.
	top := domain[strings.LastIndexByte(domain, '.')+1:]
	if err != nil || top == domain || strings.Trim(top, "0123456789") == "" {
		return "", &fault{UserErrorInvalid, fmt.Sprintf("%s: its domain is not a valid host name", notAnAddress)}
	}
	local := normalizeLocalPart(address[:at])
	normalized := local + "@" + domain
	// net/mail reads more than an address (names, comments), so what it read must be all that was given.
	parsed, err := mail.ParseAddress(normalized)
	if err != nil || parsed.Address != normalized {
		return "", &fault{UserErrorInvalid, notAnAddress}
	}
	if n := utf8.RuneCountInString(normalized); n > MaxEmail { // composing and Punycode can lengthen it
		const rule = "must have at most %d characters with its domain in ASCII (xn--); it has %d then"
		return "", &fault{UserErrorTooLong, fmt.Sprintf(rule, MaxEmail, n)}
	}
	return normalized, nil
}

func isInvisible(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) }

// normalizeLocalPart composes and lowers what stands before the @, except where that would turn a character outside
// ASCII into one inside it (KELVIN SIGN into k, İ into i): two people would become one.
func normalizeLocalPart(local string) string {
	var b strings.Builder
	rest := 0
	for i, r := range local {
		if r > unicode.MaxASCII && norm.NFC.String(string(r))[0] <= unicode.MaxASCII {
			b.WriteString(composeAndLower(local[rest:i]))
			b.WriteRune(r)
			rest = i + utf8.RuneLen(r)
		}
	}
	b.WriteString(composeAndLower(local[rest:]))
	return b.String()
}

func composeAndLower(s string) string {
	return norm.NFC.String(strings.Map(func(r rune) rune {
		if lower := unicode.ToLower(r); lower > unicode.MaxASCII || r <= unicode.MaxASCII {
			return lower
		}
		return r
	}, norm.NFC.String(s)))
}
