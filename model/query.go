package model

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/text/unicode/norm"
)

// MaxListed is the most values that a list among the arguments takes.
const MaxListed = 100

// The length of a fragment to search for, in code points. The index is of three characters in a row.
const (
	MinSearch = 3
	MaxSearch = 100
)

// OrderDirection says which way a page is sorted.
type OrderDirection string

// The directions.
const (
	Ascending  OrderDirection = "ASC"
	Descending OrderDirection = "DESC"
)

// CustomerOrderField says what customers are sorted by.
type CustomerOrderField string

// What customers can be sorted by.
const (
	CustomersByCreatedAt CustomerOrderField = "CREATED_AT"
	CustomersByUpdatedAt CustomerOrderField = "UPDATED_AT"
	CustomersByEmail     CustomerOrderField = "EMAIL"
	CustomersByLastName  CustomerOrderField = "LAST_NAME"
)

// CustomerIdentityOrderField says what identities are sorted by.
type CustomerIdentityOrderField string

// What identities can be sorted by.
const (
	IdentitiesByCreatedAt CustomerIdentityOrderField = "CREATED_AT"
	IdentitiesByUpdatedAt CustomerIdentityOrderField = "UPDATED_AT"
	IdentitiesByPlatform  CustomerIdentityOrderField = "PLATFORM"
)

// CustomerOrder is the order of a page of customers.
type CustomerOrder struct {
	Field     CustomerOrderField
	Direction OrderDirection
}

// CustomerIdentityOrder is the order of a page of identities.
type CustomerIdentityOrder struct {
	Field     CustomerIdentityOrderField
	Direction OrderDirection
}

// DateTimeRange is from From, up to but not including To; nil is open.
type DateTimeRange struct {
	From *time.Time
	To   *time.Time
}

// PlatformIdentityKey identifies a customer's account on a platform.
type PlatformIdentityKey struct {
	Platform           string
	PlatformCustomerID string
}

// CustomerKey names a customer by exactly one of its fields.
type CustomerKey struct {
	ID         *uuid.UUID
	ExternalID *string
	Email      *string
	Identity   *PlatformIdentityKey
}

// CustomerIdentityKey names an identity by exactly one of its fields.
type CustomerIdentityKey struct {
	ID               *uuid.UUID
	PlatformIdentity *PlatformIdentityKey
}

// CustomerFilter says which customers: those that meet all its conditions.
type CustomerFilter struct {
	Search        *string
	IDs           []uuid.UUID
	ExternalIDs   []string
	Email         *string
	PhoneNumber   *string
	Platform      *string
	Tags          []string
	AccountStatus []AccountStatus
	CreatedAt     *DateTimeRange
	UpdatedAt     *DateTimeRange
}

// CustomerIdentityFilter says which identities: those that meet all its conditions.
type CustomerIdentityFilter struct {
	Platform   *string
	Email      *string
	CustomerID *uuid.UUID
	CreatedAt  *DateTimeRange
	UpdatedAt  *DateTimeRange
}

// CustomerEdge is a customer and its place in a list.
type CustomerEdge = Edge[Customer]

// CustomerIdentityEdge is an identity and its place in a list.
type CustomerIdentityEdge = Edge[CustomerIdentity]

// CustomerConnection is a page of customers.
type CustomerConnection struct {
	Connection[Customer]
	TotalCount int             // set where an answer shows it
	Filter     *CustomerFilter // what TotalCount counts
}

// CustomerIdentityConnection is a page of identities.
type CustomerIdentityConnection struct {
	Connection[CustomerIdentity]
	TotalCount int                     // set where an answer shows it
	Filter     *CustomerIdentityFilter // what TotalCount counts
}

// IdentityPage names a page of a customer's identities, all or those on one platform. Pages can be compared with ==.
type IdentityPage struct {
	Platform string // empty for all
	Page     Page
}

// Check returns the filter with every text in the form in which it is compared, and an empty one for nil. It returns
// BAD_USER_INPUT for a condition that breaks its rule.
func (f *CustomerFilter) Check() (*CustomerFilter, error) {
	if f == nil {
		return &CustomerFilter{}, nil
	}
	checked := *f
	var err error
	if checked.Search, err = checkArgument("filter.search", f.Search, normalizeSearch); err != nil {
		return nil, err
	}
	if checked.Email, err = checkArgument("filter.email", f.Email, normalizeEmail); err != nil {
		return nil, err
	}
	if checked.Platform, err = checkArgument("filter.platform", f.Platform, normalizePlatform); err != nil {
		return nil, err
	}
	if checked.PhoneNumber, err = checkArgument("filter.phoneNumber", f.PhoneNumber, normalizePhone); err != nil {
		return nil, err
	}
	if checked.ExternalIDs, err = checkList("filter.externalIds", f.ExternalIDs, required(MaxExternalID)); err != nil {
		return nil, err
	}
	if checked.Tags, err = checkList("filter.tags", f.Tags, func(tag string) (string, *fault) {
		tag = strings.TrimSpace(tag) // as the tags of customers are
		return tag, checkRequired(tag, MaxTag)
	}); err != nil {
		return nil, err
	}
	return &checked, CheckIDs("filter.ids", f.IDs)
}

// Check returns the filter with its email and platform in normalised form, and an empty one for nil. It returns
// BAD_USER_INPUT for a condition that breaks its rule.
func (f *CustomerIdentityFilter) Check() (*CustomerIdentityFilter, error) {
	if f == nil {
		return &CustomerIdentityFilter{}, nil
	}
	checked := *f
	var err error
	if checked.Email, err = checkArgument("filter.email", f.Email, normalizeEmail); err != nil {
		return nil, err
	}
	checked.Platform, err = checkArgument("filter.platform", f.Platform, normalizePlatform)
	return &checked, err
}

// Check returns the key of a field with its email or platform in normalised form. It returns BAD_USER_INPUT unless exactly one
// field is given and follows its rule; gqlparser holds @oneOf for literals only, not for variables.
func (k CustomerKey) Check(field string) (CustomerKey, error) {
	if err := checkOneOf(field, k.ID != nil, k.ExternalID != nil, k.Email != nil, k.Identity != nil); err != nil {
		return k, err
	}
	var err error
	if k.ExternalID, err = checkArgument(field+".externalId", k.ExternalID, required(MaxExternalID)); err != nil {
		return k, err
	}
	if k.Email, err = checkArgument(field+".email", k.Email, normalizeEmail); err != nil {
		return k, err
	}
	k.Identity, err = k.Identity.check(field + ".identity")
	return k, err
}

// Check returns the key with its platform in normalised form. It returns BAD_USER_INPUT unless exactly one field is
// given and follows its rule; gqlparser holds @oneOf for literals only, not for variables.
func (k CustomerIdentityKey) Check() (CustomerIdentityKey, error) {
	if err := checkOneOf("by", k.ID != nil, k.PlatformIdentity != nil); err != nil {
		return k, err
	}
	var err error
	k.PlatformIdentity, err = k.PlatformIdentity.check("by.platformIdentity")
	return k, err
}

func (k *PlatformIdentityKey) check(field string) (*PlatformIdentityKey, error) {
	if k == nil {
		return nil, nil
	}
	platform, f := normalizePlatform(k.Platform)
	if f != nil {
		return nil, f.badInput(field + ".platform")
	}
	if f := checkRequired(k.PlatformCustomerID, MaxPlatformCustomerID); f != nil {
		return nil, f.badInput(field + ".platformCustomerId")
	}
	return &PlatformIdentityKey{platform, k.PlatformCustomerID}, nil
}

// CheckIDs returns BAD_USER_INPUT for more than MaxListed.
func CheckIDs(field string, ids []uuid.UUID) error {
	return checkLength(field, len(ids))
}

func checkLength(field string, n int) error {
	if n > MaxListed {
		return BadInput(field, fmt.Sprintf("must be at most %d; there are %d", MaxListed, n))
	}
	return nil
}

// normalizeSearch returns the fragment composed (NFC) and without the white space around it. With two letters or digits
// it has three characters that the index knows.
func normalizeSearch(text string) (string, *fault) {
	fragment := norm.NFC.String(strings.TrimSpace(text))
	if f := checkRequired(fragment, MaxSearch); f != nil {
		return "", f
	}
	if n := utf8.RuneCountInString(fragment); n < MinSearch {
		return "", &fault{UserErrorInvalid, fmt.Sprintf("must have at least %d characters; it has %d", MinSearch, n)}
	}
	words := strings.Join(strings.FieldsFunc(fragment, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }), "")
	if n := utf8.RuneCountInString(words); n < 2 {
		return "", &fault{UserErrorInvalid, fmt.Sprintf("must have at least two letters or digits; it has %d", n)}
	}
	return fragment, nil
}

func checkList(field string, values []string, normalize func(string) (string, *fault)) ([]string, error) {
	if err := checkLength(field, len(values)); err != nil {
		return nil, err
	}
	checked := slices.Clone(values)
	for i, value := range values {
		var f *fault
		if checked[i], f = normalize(value); f != nil {
			return nil, f.badInput(fmt.Sprintf("%s[%d]", field, i))
		}
	}
	return checked, nil
}

// CheckPlatform returns the platform in normalised form, nil for nil, or BAD_USER_INPUT.
func CheckPlatform(field string, platform *string) (*string, error) {
	return checkArgument(field, platform, normalizePlatform)
}

func checkArgument(field string, value *string, normalize func(string) (string, *fault)) (*string, error) {
	if value == nil {
		return nil, nil
	}
	normalized, f := normalize(*value)
	if f != nil {
		return nil, f.badInput(field)
	}
	return &normalized, nil
}

func checkOneOf(field string, given ...bool) error {
	n := 0
	for _, g := range given {
		if g {
			n++
		}
	}
	if n != 1 {
		return BadInput(field, fmt.Sprintf("must have exactly one field; it has %d", n))
	}
	return nil
}
