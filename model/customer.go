package model

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/nyaruka/phonenumbers"
)

// The bounds of a customer's properties, in code points where they are texts.
const (
	MaxExternalID  = 255
	MaxTags        = 250
	MaxTag         = 255
	MaxAddressLine = 255
)

// Gender is a customer's gender, as the store reports it.
type Gender string

// The genders of the seed document.
const (
	GenderFemale Gender = "FEMALE"
	GenderMale   Gender = "MALE"
	GenderOther  Gender = "OTHER"
)

// AccountStatus is the state of a customer's store account.
type AccountStatus string

// The states of the seed document.
const (
	AccountEnabled  AccountStatus = "ENABLED"
	AccountDisabled AccountStatus = "DISABLED"
	AccountInvited  AccountStatus = "INVITED"
	AccountDeclined AccountStatus = "DECLINED"
)

// Address is a postal address. It is kept as JSON under these names.
type Address struct {
	Address1     *string `json:"address1,omitempty"`
	Address2     *string `json:"address2,omitempty"`
	Company      *string `json:"company,omitempty"`
	City         *string `json:"city,omitempty"`
	State        *string `json:"state,omitempty"`
	ProvinceCode *string `json:"province_code,omitempty"`
	Zip          *string `json:"zip,omitempty"`
	CountryCode  *string `json:"country_code,omitempty"` // ISO 3166-1 alpha-2
	PhoneNumber  *string `json:"phone_number,omitempty"` // E.164
}

// AddressInput is an Address as it is sent.
type AddressInput = Address

// UpsertCustomerInput is a customer's key, and what is to be known of it: a property that is omitted is kept, and one
// that is null is cleared.
type UpsertCustomerInput struct {
	By                    CustomerKey
	ExternalID            graphql.Omittable[*string]
	Email                 graphql.Omittable[*string]
	PhoneNumber           graphql.Omittable[*string]
	FirstName             graphql.Omittable[*string]
	LastName              graphql.Omittable[*string]
	Gender                graphql.Omittable[*Gender]
	AccountCreatedAt      graphql.Omittable[*time.Time]
	AccountStatus         graphql.Omittable[*AccountStatus]
	DefaultLanguage       graphql.Omittable[*string]
	DefaultCurrency       graphql.Omittable[*string]
	Tags                  graphql.Omittable[[]string]
	Address               graphql.Omittable[*AddressInput]
	AcceptsEmailMarketing graphql.Omittable[*bool]
	AcceptsSmsMarketing   graphql.Omittable[*bool]
	Properties            graphql.Omittable[Properties]
	IfVersion             *int
	Origin                Origin
}

// CustomerChange is what an UpsertCustomerInput asks for, checked and in normalised form.
type CustomerChange struct {
	By        CustomerKey
	Columns   map[string]any // the columns to set, nil for null, by their names in the database
	OnCreate  map[string]any // those to set besides where nobody has the key: the key itself
	IfVersion *int
	Origin    Origin
}

// Check returns the change that the input asks for, or else every fault of the input. path is where the input stands in
// the arguments; it begins each fault's Field.
func (in UpsertCustomerInput) Check(path ...string) (*CustomerChange, []*UserError) {
	c := checker{path: path, columns: map[string]any{}}
	by := c.key("by", in.By)
	c.fault(in.Origin.check(), "id")
	text(&c, "externalId", "external_id", in.ExternalID, required(MaxExternalID))
	c.email(in.Email)
	text(&c, "phoneNumber", "phone_number", in.PhoneNumber, normalizePhone)
	text(&c, "firstName", "first_name", emptyIsNull(in.FirstName), required(MaxName))
	text(&c, "lastName", "last_name", emptyIsNull(in.LastName), required(MaxName))
	set(&c, "gender", in.Gender)
	set(&c, "account_created_at", in.AccountCreatedAt)
	c.fault(checkTime(in.AccountCreatedAt.Value()), "accountCreatedAt")
	set(&c, "account_status", in.AccountStatus)
	text(&c, "defaultLanguage", "default_language", in.DefaultLanguage, normalizeLanguage)
	text(&c, "defaultCurrency", "default_currency", in.DefaultCurrency, normalizeCurrency)
	c.tags(in.Tags)
	c.address(in.Address)
	set(&c, "accepts_email_marketing", in.AcceptsEmailMarketing)
	set(&c, "accepts_sms_marketing", in.AcceptsSmsMarketing)
	if properties, ok := in.Properties.ValueOK(); ok {
		c.columns["properties"] = properties
		if properties != nil {
			c.fault(properties.check(true), "properties")
		}
	}
	if c.faults != nil {
		return nil, c.faults
	}
	change := &CustomerChange{By: by, Columns: c.columns, OnCreate: map[string]any{}, IfVersion: in.IfVersion, Origin: in.Origin}
	if by.ExternalID != nil {
		change.OnCreate["external_id"] = by.ExternalID
	}
	if by.Email != nil {
		change.OnCreate["email"], change.OnCreate["email_normalized"] = in.By.Email, by.Email
	}
	return change, nil
}

// checker collects the columns and the faults of an input.
type checker struct {
	path    []string
	columns map[string]any
	faults  []*UserError
}

func (c *checker) fault(f *fault, field ...string) {
	if f != nil {
		c.faults = append(c.faults, &UserError{
			Code: f.code, Message: strings.Join(field, ".") + " " + f.rule, Field: slices.Concat(c.path, field),
		})
	}
}

// key returns the normalised key; its faults are the sender's to mend like those of any field.
func (c *checker) key(field string, key CustomerKey) CustomerKey {
	checked, err := key.Check(field)
	if known, ok := errors.AsType[*Error](err); ok {
		c.faults = append(c.faults, &UserError{
			Code: known.kind, Message: known.Error(), Field: slices.Concat(c.path, strings.Split(known.Field, ".")),
		})
	}
	return checked
}

// set takes a value that has no rule but its type.
func set[T any](c *checker, column string, value graphql.Omittable[*T]) {
	if v, ok := value.ValueOK(); ok {
		c.columns[column] = v
	}
}

// text takes a text in its normalised form.
func text(c *checker, field, column string, value graphql.Omittable[*string], normalize func(string) (string, *fault)) {
	v, ok := value.ValueOK()
	if !ok {
		return
	}
	if v == nil {
		c.columns[column] = nil
		return
	}
	normalized, f := normalize(*v)
	c.fault(f, field)
	c.columns[column] = normalized
}

// emptyIsNull makes an empty name clear it, as it does in an identity.
func emptyIsNull(name graphql.Omittable[*string]) graphql.Omittable[*string] {
	if v := name.Value(); v != nil && *v == "" {
		return graphql.OmittableOf[*string](nil)
	}
	return name
}

func (c *checker) email(value graphql.Omittable[*string]) {
	text(c, "email", "email_normalized", value, normalizeEmail)
	if v, ok := value.ValueOK(); ok {
		c.columns["email"] = v
	}
}

func (c *checker) tags(value graphql.Omittable[[]string]) {
	tags, ok := value.ValueOK()
	if !ok {
		return
	}
	set := make([]string, 0, len(tags))
	first := make(map[string]int, len(tags))
	for i, tag := range tags {
		tag = strings.TrimSpace(tag)
		if _, again := first[tag]; !again {
			first[tag] = i
			set = append(set, tag)
		}
	}
	if len(set) > MaxTags { // and nothing about each: the answer is not to be longer than the question
		c.fault(&fault{UserErrorTooLong, fmt.Sprintf("must be at most %d; there are %d", MaxTags, len(set))}, "tags")
		return
	}
	for _, tag := range set {
		c.fault(checkRequired(tag, MaxTag), "tags", fmt.Sprint(first[tag]))
	}
	slices.Sort(set)
	c.columns["tags"] = set
}

func (c *checker) address(value graphql.Omittable[*AddressInput]) {
	in, ok := value.ValueOK()
	if !ok {
		return
	}
	c.columns["address"] = nil
	if in == nil {
		return
	}
	line := func(field string, text *string, normalize func(string) (string, *fault)) *string {
		if text == nil || strings.TrimSpace(*text) == "" {
			return nil
		}
		normalized, f := normalize(*text)
		c.fault(f, "address", field)
		return &normalized
	}
	short := required(MaxAddressLine)
	address := Address{
		Address1: line("address1", in.Address1, short), Address2: line("address2", in.Address2, short),
		Company: line("company", in.Company, short), City: line("city", in.City, short),
		State: line("state", in.State, short), ProvinceCode: line("provinceCode", in.ProvinceCode, short),
		Zip:         line("zip", in.Zip, short),
		CountryCode: line("countryCode", in.CountryCode, normalizeCountry),
		PhoneNumber: line("phoneNumber", in.PhoneNumber, normalizePhone),
	}
	if address != (Address{}) {
		c.columns["address"] = address
	}
}

// required returns a rule for what must not be blank, and is kept as it is.
func required(limit int) func(string) (string, *fault) { //nolint:unparam // the limits are equal by chance
	return func(text string) (string, *fault) { return text, checkRequired(text, limit) }
}

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

// normalizeLanguage returns an ISO 639-1 code in lower case.
func normalizeLanguage(text string) (string, *fault) {
	return normalizeCode(strings.ToLower(text), languages, "an ISO 639-1 code of two letters, such as en")
}

// normalizeCurrency returns an ISO 4217 code in upper case.
func normalizeCurrency(text string) (string, *fault) {
	return normalizeCode(strings.ToUpper(text), currencies, "an ISO 4217 code in use, such as EUR")
}

// normalizeCountry returns an ISO 3166-1 alpha-2 code in upper case.
func normalizeCountry(text string) (string, *fault) {
	return normalizeCode(strings.ToUpper(text), countries, "an ISO 3166-1 code of two letters, such as DE")
}

func normalizeCode(code string, list map[string]bool, what string) (string, *fault) {
	if strings.TrimSpace(code) == "" {
		return "", &fault{UserErrorBlank, "must not be blank"}
	}
	if !list[code] {
		return "", &fault{UserErrorInvalid, "must be " + what}
	}
	return code, nil
}

// UpsertCustomerPayload says what became of one input: the customer, or the input's faults.
type UpsertCustomerPayload struct {
	Upsert

	Customer *Customer
}

// Node returns the customer.
func (p *UpsertCustomerPayload) Node() Node { return p.Customer }

// UpsertCustomersPayload says what became of each input of a batch.
type UpsertCustomersPayload = Batch[*UpsertCustomerPayload]

// Keys returns the keys that the change finds its customer by or gives to it: of two changes in a batch with one in
// common, the later is refused.
func (c *CustomerChange) Keys() []any {
	type key struct{ column, value string }
	var keys []any
	add := func(column string, value any) {
		if text, ok := value.(string); ok {
			keys = append(keys, key{column, text})
		}
	}
	switch {
	case c.By.ID != nil:
		add("id", c.By.ID.String())
	case c.By.ExternalID != nil:
		add("external_id", *c.By.ExternalID)
	case c.By.Email != nil:
		add("email_normalized", *c.By.Email)
	case c.By.Identity != nil:
		keys = append(keys, *c.By.Identity)
	}
	if c.Origin.ID != nil && c.By.ID == nil {
		add("id", c.Origin.ID.String())
	}
	for _, column := range []string{"external_id", "email_normalized"} {
		if value := c.Columns[column]; value != nil && !slices.Contains(keys, any(key{column, value.(string)})) {
			add(column, value)
		}
	}
	return keys
}
