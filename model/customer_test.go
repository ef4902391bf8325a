package model

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/go-cmp/cmp"
)

func given[T any](v T) graphql.Omittable[*T] { return graphql.OmittableOf(&v) }

// TestCustomerValues holds each property with a rule of its own to it: what is kept of a value, or the fault.
func TestCustomerValues(t *testing.T) {
	t.Parallel()
	phone := func(v string) UpsertCustomerInput { return UpsertCustomerInput{PhoneNumber: given(v)} }
	language := func(v string) UpsertCustomerInput { return UpsertCustomerInput{DefaultLanguage: given(v)} }
	currency := func(v string) UpsertCustomerInput { return UpsertCustomerInput{DefaultCurrency: given(v)} }
	country := func(v string) UpsertCustomerInput {
		return UpsertCustomerInput{Address: given(Address{CountryCode: &v})}
	}
	opened := func(v time.Time) UpsertCustomerInput { return UpsertCustomerInput{AccountCreatedAt: given(v)} }
	tags := func(v ...string) UpsertCustomerInput { return UpsertCustomerInput{Tags: graphql.OmittableOf(v)} }
	many := func(n int) (all []string) {
		for i := range n {
			all = append(all, fmt.Sprintf("%03d", i))
		}
		return all
	}
	long := strings.Repeat("𝔇", 255)
	for _, c := range []struct {
		name   string
		in     UpsertCustomerInput
		column string
		want   any // or the fault, as text
	}{
		{"a phone number as people write it", phone("+1 (415) 555-2671"), "phone_number", "+14155552671"},
		{"a phone number with its national prefix", phone("+44 (0)20 7946 0958"), "phone_number", "+442079460958"},
		{"an Italian number keeps its zero", phone("+39 02 12345678"), "phone_number", "+390212345678"},
		{"a phone number of 15 digits", phone("+49 1234567890123"), "phone_number", "+491234567890123"},
		{"a phone number of more digits than E.164 has", phone("+49 123456789012345"), "", "INVALID phoneNumber"},
		{"a phone number without a country", phone("555-2671"), "", "INVALID phoneNumber"},
		{"a phone number with a country and without an area", phone("+1 555-2671"), "", "INVALID phoneNumber"},
		{"a phone number with an extension", phone("+1 415 555 2671 ext 5"), "", "INVALID phoneNumber"},
		{"a country that is none", phone("+999 415 555 2671"), "", "INVALID phoneNumber"},
		{"a blank phone number", phone(" "), "", "BLANK phoneNumber"},
		{"NUL in a phone number", phone("+1 415\x00555 2671"), "", "INVALID phoneNumber"},
		{"a long phone number", phone("+1" + strings.Repeat(" ", 70) + "4155552671"), "", "TOO_LONG phoneNumber"},

		{"a language", language("en"), "default_language", "en"},
		{"a language in upper case", language("UK"), "default_language", "uk"},
		{"a language with a region", language("de-DE"), "", "INVALID defaultLanguage"},
		{"a language of three letters", language("deu"), "", "INVALID defaultLanguage"},
		{"a language's code of old", language("iw"), "", "INVALID defaultLanguage"},
		{"a language that is none", language("xx"), "", "INVALID defaultLanguage"},
		{"no language", language(""), "", "BLANK defaultLanguage"},

		{"a currency", currency("EUR"), "default_currency", "EUR"},
		{"a currency in lower case", currency("jpy"), "default_currency", "JPY"},
		{"a currency of this decade", currency("VED"), "default_currency", "VED"},
		{"a currency of old", currency("DEM"), "", "INVALID defaultCurrency"},
		{"no currency, as the standard has it", currency("XXX"), "", "INVALID defaultCurrency"},
		{"a currency's name", currency("EURO"), "", "INVALID defaultCurrency"},
		{"a blank currency", currency(" "), "", "BLANK defaultCurrency"},
		{"no currency", currency(""), "", "BLANK defaultCurrency"},

		{"a country", country("DE"), "address", Address{CountryCode: new("DE")}},
		{"a country in lower case", country("gb"), "address", Address{CountryCode: new("GB")}},
		{"Kosovo", country("XK"), "address", Address{CountryCode: new("XK")}},
		{"the kingdom's other name", country("UK"), "", "INVALID address.countryCode"},
		{"a country that is none", country("XX"), "", "INVALID address.countryCode"},
		{"a country of old", country("DD"), "", "INVALID address.countryCode"},
		{"a continent", country("150"), "", "INVALID address.countryCode"},

		{
			"an address keeps its lines to the letter and drops the blank ones",
			UpsertCustomerInput{Address: given(Address{Address1: new(" Main St "), Address2: new(""), City: new(" "), Zip: &long})},
			"address",
			Address{Address1: new(" Main St "), Zip: &long},
		},
		{"an address of blank lines is none", UpsertCustomerInput{Address: given(Address{City: new(" ")})}, "address", nil},
		{"an address of nothing is none", UpsertCustomerInput{Address: given(Address{})}, "address", nil},
		{"a long line of an address", UpsertCustomerInput{Address: given(Address{State: new(long + "x")})}, "", "TOO_LONG address.state"},
		{"a number in an address", UpsertCustomerInput{Address: given(Address{PhoneNumber: new("+49 30 123456")})}, "address", Address{PhoneNumber: new("+4930123456")}},
		{
			"every fault of an address",
			UpsertCustomerInput{Address: given(Address{Zip: new("\x00"), PhoneNumber: new("1"), CountryCode: new("1")})},
			"",
			"INVALID address.countryCode, INVALID address.phoneNumber, INVALID address.zip",
		},

		{"tags are a set in order, trimmed", tags(" vip", "b", "vip ", "B"), "tags", []string{"B", "b", "vip"}},
		{"no tags", tags(), "tags", []string{}},
		{"250 tags, some of them twice", tags(slices.Concat(many(250), many(10))...), "tags", many(250)},
		{"251 tags", tags(many(251)...), "", "TOO_LONG tags"},
		{"many tags with faults are one fault", tags(slices.Concat(many(251), []string{"", "\x00"})...), "", "TOO_LONG tags"},
		{"an empty tag, told once", tags("a", " ", ""), "", "BLANK tags.1"},
		{"a tag of 255 characters", tags(long), "tags", []string{long}},
		{"a tag of 256 characters", tags("a", long+"x"), "", "TOO_LONG tags.1"},

		{"the first year", opened(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)), "account_created_at", time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)},
		{"the year before the first", opened(time.Date(1, 1, 1, 0, 0, 0, 0, time.FixedZone("", 3600))), "", "INVALID accountCreatedAt"},
		{"the year 10000", opened(time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -3600))), "", "INVALID accountCreatedAt"},

		{"an empty name is none", UpsertCustomerInput{FirstName: given("")}, "first_name", nil},
		{"a blank name", UpsertCustomerInput{LastName: given(" ")}, "", "BLANK lastName"},
		{"an empty externalId", UpsertCustomerInput{ExternalID: given("")}, "", "BLANK externalId"},
		{"a long externalId", UpsertCustomerInput{ExternalID: given(long + "x")}, "", "TOO_LONG externalId"},
		{"U+FFFD in an externalId", UpsertCustomerInput{ExternalID: given("a\uFFFD")}, "", "INVALID externalId"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.in.By.ExternalID = new("C-1")
			change, found := c.in.Check()
			var got any = strings.Join(faults(found), ", ")
			if found == nil {
				switch value := change.Columns[c.column].(type) {
				case *string:
					got = any(nil)
					if value != nil {
						got = *value
					}
				case *time.Time:
					got = *value
				default:
					got = value
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestKeyFaults holds a key inside an input to the codes that the same value has elsewhere.
func TestKeyFaults(t *testing.T) {
	t.Parallel()
	identity := func(platform, id string) CustomerKey {
		return CustomerKey{Identity: &PlatformIdentityKey{Platform: platform, PlatformCustomerID: id}}
	}
	for _, c := range []struct {
		name string
		key  CustomerKey
		want string
	}{
		{"an empty externalId", CustomerKey{ExternalID: new("")}, "BLANK key.externalId"},
		{"a long externalId", CustomerKey{ExternalID: new(strings.Repeat("x", 256))}, "TOO_LONG key.externalId"},
		{"NUL in an externalId", CustomerKey{ExternalID: new("\x00")}, "INVALID key.externalId"},
		{"an empty email", CustomerKey{Email: new("")}, "BLANK key.email"},
		{"a long email", CustomerKey{Email: new(strings.Repeat("x", 248) + "@doe.com")}, "TOO_LONG key.email"},
		{"an email that is none", CustomerKey{Email: new("jane")}, "INVALID key.email"},
		{"an empty platform", identity("", "1"), "BLANK key.identity.platform"},
		{"a long platform", identity(strings.Repeat("x", 65), "1"), "TOO_LONG key.identity.platform"},
		{"a platform that is none", identity("a b", "1"), "INVALID key.identity.platform"},
		{"a blank platformCustomerId", identity("shopify", " "), "BLANK key.identity.platformCustomerId"},
		{"no key", CustomerKey{}, "INVALID key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var of checker
			of.key("key", c.key)
			if diff := cmp.Diff([]string{c.want}, faults(of.faults)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestWholeNumbers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		value any
		want  int
		ok    bool
	}{
		{int64(math.MaxInt32), math.MaxInt32, true},
		{int64(math.MaxInt32 + 1), 0, false},
		{int64(math.MinInt32 - 1), 0, false},
		{2.0, 2, true},
		{2.5, 0, false},
		{"5", 0, false},
	} {
		if got, err := UnmarshalInt(c.value); got != c.want || (err == nil) != c.ok {
			t.Errorf("%v is read as %d, %v", c.value, got, err)
		}
	}
}
