package model

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Customer is a person as the store knows them: one record, an identity for each platform account.
type Customer struct {
	bun.BaseModel `bun:"table:customers,alias:c"`

	StoreID uuid.UUID `bun:"store_id,pk"`
	ID      uuid.UUID `bun:"id,pk"`
	// Email is kept as it was sent; EmailNormalized is the form that two spellings of one address share (normalizeEmail).
	Email                 *string        `bun:"email"`
	EmailNormalized       *string        `bun:"email_normalized"`
	ExternalID            *string        `bun:"external_id"`
	PhoneNumber           *string        `bun:"phone_number"`
	FirstName             *string        `bun:"first_name"`
	LastName              *string        `bun:"last_name"`
	Gender                *Gender        `bun:"gender"`
	AccountCreatedAt      *time.Time     `bun:"account_created_at"`
	AccountStatus         *AccountStatus `bun:"account_status"`
	DefaultLanguage       *string        `bun:"default_language"`
	DefaultCurrency       *string        `bun:"default_currency"`
	Tags                  []string       `bun:"tags,array"`
	Address               *Address       `bun:"address,type:jsonb"`
	AcceptsEmailMarketing *bool          `bun:"accepts_email_marketing"`
	AcceptsSmsMarketing   *bool          `bun:"accepts_sms_marketing"`
	Properties            Properties     `bun:"properties,type:jsonb"`
	Version               int            `bun:"version"`
	CreatedAt             time.Time      `bun:"created_at"`
	UpdatedAt             time.Time      `bun:"updated_at"`

	// IdentityPages are the pages of the customer's identities that an answer shows.
	IdentityPages Pages[IdentityPage, CustomerIdentityConnection] `bun:"-"`
	// EventPages are the pages of the customer's events that an answer shows.
	EventPages Pages[EventPage, CustomerEventConnection] `bun:"-"`
}

// IsNode marks a Customer as a Node.
func (*Customer) IsNode() {}

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
	// MustExist has the change fail where nobody has the key: with IfVersion, with a key that is no externalId or email, and
	// where the input clears the key that it has. To create a customer with that would bring back, when the input is sent
	// again, what it had removed.
	MustExist bool
	Origin    Origin
}

// Check returns the change that the input asks for, or else every fault of the input. path is where the input stands in
// the arguments; it begins each fault's Field.
func (in UpsertCustomerInput) Check(path ...string) (*CustomerChange, []*UserError) {
	c := checker{path: path, columns: map[string]any{}}
	by := c.key("by", in.By)
	c.fault(in.Origin.check(), "id")
	normalized(&c, "externalId", "external_id", in.ExternalID, required(MaxExternalID))
	c.email(in.Email)
	normalized(&c, "phoneNumber", "phone_number", in.PhoneNumber, normalizePhone)
	normalized(&c, "firstName", "first_name", emptyIsNull(in.FirstName), normalizeName)
	normalized(&c, "lastName", "last_name", emptyIsNull(in.LastName), normalizeName)
	set(&c, "gender", in.Gender)
	normalized(&c, "accountCreatedAt", "account_created_at", in.AccountCreatedAt, normalizeTime)
	set(&c, "account_status", in.AccountStatus)
	normalized(&c, "defaultLanguage", "default_language", in.DefaultLanguage, normalizeLanguage)
	normalized(&c, "defaultCurrency", "default_currency", in.DefaultCurrency, normalizeCurrency)
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
	clears := func(key graphql.Omittable[*string]) bool { return key.IsSet() && key.Value() == nil }
	switch {
	case by.ExternalID != nil:
		change.OnCreate["external_id"] = by.ExternalID
		change.MustExist = clears(in.ExternalID)
	case by.Email != nil:
		change.OnCreate["email"], change.OnCreate["email_normalized"] = in.By.Email, by.Email
		change.MustExist = clears(in.Email)
	default:
		change.MustExist = in.Origin.ID == nil
	}
	change.MustExist = change.MustExist || in.IfVersion != nil
	return change, nil
}

// emptyIsNull makes an empty name clear it, as it does in an identity.
func emptyIsNull(name graphql.Omittable[*string]) graphql.Omittable[*string] {
	if v := name.Value(); v != nil && *v == "" {
		return graphql.OmittableOf[*string](nil)
	}
	return name
}

func (c *checker) email(value graphql.Omittable[*string]) {
	normalized(c, "email", "email_normalized", value, normalizeEmail)
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
