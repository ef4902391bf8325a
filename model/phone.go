package model

import (
	"fmt"

	"github.com/nyaruka/phonenumbers"
)

// maxE164 is the most digits that a number of ITU-T E.164 has, country code included.
const maxE164 = 15

// normalizePhone returns the number in E.164. It takes any notation with a country code, and any number of a possible
// length: which numbers are given out changes faster than a library's list of them. An extension has no place in E.164.
func normalizePhone(text string) (string, *fault) {
	if f := checkRequired(text, 64); f != nil {
		return "", f
	}
	number, err := phonenumbers.Parse(text, "")
	if err != nil || phonenumbers.IsPossibleNumberWithReason(number) != phonenumbers.IS_POSSIBLE || number.GetExtension() != "" {
		return "", &fault{UserErrorInvalid, "must be a phone number with its country code and without an extension, such as +14155552671"}
	}
	e164 := phonenumbers.Format(number, phonenumbers.E164)
	// Some plans take a zero away each time (+200000000000); what is kept must stay what it is when it is sent again.
	if again, err := phonenumbers.Parse(e164, ""); err != nil || phonenumbers.Format(again, phonenumbers.E164) != e164 {
		return "", &fault{UserErrorInvalid, "must be a phone number with its country code, without the zero before an area code"}
	}
	if len(e164) > len("+")+maxE164 {
		return "", &fault{UserErrorInvalid, fmt.Sprintf("must have at most %d digits", maxE164)}
	}
	return e164, nil
}
