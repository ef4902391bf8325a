package transfer

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/uuid"

	"akin/model"
	"akin/repo"
)

var customerColumns = []string{
	"id", "externalId", "email", "phoneNumber", "firstName", "lastName", "gender", "accountCreatedAt", "accountStatus",
	"defaultLanguage", "defaultCurrency", "tags", "address.address1", "address.address2", "address.company", "address.city",
	"address.state", "address.provinceCode", "address.zip", "address.countryCode", "address.phoneNumber",
	"acceptsEmailMarketing", "acceptsSmsMarketing", "properties",
}

// customers are upserted by the row's id where somebody has it, or else by its externalId, or where it has none, its email;
// one that is new has the row's id. A row whose externalId nobody has, with the email of a customer without one, is that
// customer's.
var customers = named(&kind{
	wrapper:  "customer",
	columns:  customerColumns,
	exported: customerColumns,
	groups:   []string{"address"},
	required: [][]string{{"id", "externalId", "email"}},
	check:    checkCustomer,
	write:    writeCustomers,
	count: func(ctx context.Context, store *repo.Store) (int, error) {
		return store.CountCustomers(ctx, &model.CustomerFilter{})
	},
	page: func(ctx context.Context, store *repo.Store, after *string) ([]any, *string, error) {
		oldest := &model.CustomerOrder{Field: model.CustomersByCreatedAt, Direction: model.Ascending}
		page, err := store.Customers(ctx, nil, oldest, pageAfter(after))
		if err != nil {
			return nil, nil, err
		}
		all, next := records(page.Connection, customerRecordOf)
		return all, next, nil
	},
})

// customerRecord is a customer as an export shows it: what it has. What it has not is left out in NDJSON as in CSV, so that
// nothing of a customer who is known where it is imported is cleared.
type customerRecord struct {
	ID                    uuid.UUID            `json:"id"`
	ExternalID            *string              `json:"externalId,omitempty"`
	Email                 *string              `json:"email,omitempty"`
	PhoneNumber           *string              `json:"phoneNumber,omitempty"`
	FirstName             *string              `json:"firstName,omitempty"`
	LastName              *string              `json:"lastName,omitempty"`
	Gender                *model.Gender        `json:"gender,omitempty"`
	AccountCreatedAt      *time.Time           `json:"accountCreatedAt,omitempty"`
	AccountStatus         *model.AccountStatus `json:"accountStatus,omitempty"`
	DefaultLanguage       *string              `json:"defaultLanguage,omitempty"`
	DefaultCurrency       *string              `json:"defaultCurrency,omitempty"`
	Tags                  []string             `json:"tags,omitempty"`
	Address               *addressRecord       `json:"address,omitempty"`
	AcceptsEmailMarketing *bool                `json:"acceptsEmailMarketing,omitempty"`
	AcceptsSmsMarketing   *bool                `json:"acceptsSmsMarketing,omitempty"`
	Properties            model.Properties     `json:"properties,omitempty"`
}

// addressRecord is a model.Address under the API's names.
type addressRecord struct {
	Address1     *string `json:"address1,omitempty"`
	Address2     *string `json:"address2,omitempty"`
	Company      *string `json:"company,omitempty"`
	City         *string `json:"city,omitempty"`
	State        *string `json:"state,omitempty"`
	ProvinceCode *string `json:"provinceCode,omitempty"`
	Zip          *string `json:"zip,omitempty"`
	CountryCode  *string `json:"countryCode,omitempty"`
	PhoneNumber  *string `json:"phoneNumber,omitempty"`
}

func customerRecordOf(c *model.Customer) any {
	record := customerRecord{
		ID: c.ID, ExternalID: c.ExternalID, Email: c.Email, PhoneNumber: c.PhoneNumber, FirstName: c.FirstName, LastName: c.LastName,
		Gender: c.Gender, AccountCreatedAt: utc(c.AccountCreatedAt), AccountStatus: c.AccountStatus,
		DefaultLanguage: c.DefaultLanguage, DefaultCurrency: c.DefaultCurrency, Tags: c.Tags, Address: (*addressRecord)(c.Address),
		AcceptsEmailMarketing: c.AcceptsEmailMarketing, AcceptsSmsMarketing: c.AcceptsSmsMarketing,
	}
	if string(c.Properties) != "{}" {
		record.Properties = c.Properties
	}
	return record
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	return new(t.UTC())
}

func checkCustomer(v values) (any, claims, []string) {
	r := reader{values: v}
	input := &model.UpsertCustomerInput{
		ExternalID: r.text("externalId"), Email: r.text("email"), PhoneNumber: r.text("phoneNumber"),
		FirstName: r.text("firstName"), LastName: r.text("lastName"),
		Gender: r.gender(), AccountCreatedAt: r.instant("accountCreatedAt"), AccountStatus: r.accountStatus(),
		DefaultLanguage: r.text("defaultLanguage"), DefaultCurrency: r.text("defaultCurrency"),
		Tags: r.list("tags"), Address: r.address(),
		AcceptsEmailMarketing: r.boolean("acceptsEmailMarketing"), AcceptsSmsMarketing: r.boolean("acceptsSmsMarketing"),
		Properties: r.properties(),
	}
	input.Origin.ID = r.id("id")
	input.By = customerKey(input.ExternalID.Value(), input.Email.Value(), input.Origin.ID)
	if input.By == (model.CustomerKey{}) {
		r.faults = append(r.faults, "the row has no key: an externalId, an email or an id")
	}
	if r.faults != nil {
		return nil, claims{}, r.faults
	}
	change, faults := input.Check()
	r.check(faults)
	if r.faults != nil {
		return nil, claims{}, r.faults
	}
	return input, claims{own: change.Keys()}, nil
}

// customerKey returns the first of these keys that there is. The ID is the last, because it is the customer's Origin too,
// which goes before any key.
func customerKey(externalID, email *string, id *uuid.UUID) model.CustomerKey {
	switch {
	case externalID != nil:
		return model.CustomerKey{ExternalID: externalID}
	case email != nil:
		return model.CustomerKey{Email: email}
	default:
		return model.CustomerKey{ID: id}
	}
}

func (r *reader) id(column string) *uuid.UUID {
	return optional(r, column, "must be a UUID", func(text string) (uuid.UUID, bool) {
		id, err := model.UnmarshalID(text)
		return id, err == nil
	}).Value()
}

func (r *reader) gender() graphql.Omittable[*model.Gender] {
	return optional(r, "gender", "must be F, M or Other", func(text string) (model.Gender, bool) {
		switch gender := strings.ToUpper(text); gender {
		case "F", "FEMALE":
			return model.GenderFemale, true
		case "M", "MALE":
			return model.GenderMale, true
		default:
			return model.GenderOther, gender == "OTHER"
		}
	})
}

func (r *reader) accountStatus() graphql.Omittable[*model.AccountStatus] {
	states := []model.AccountStatus{model.AccountEnabled, model.AccountDisabled, model.AccountInvited, model.AccountDeclined}
	const rule = "must be enabled, disabled, invited or declined"
	return optional(r, "accountStatus", rule, func(text string) (model.AccountStatus, bool) {
		status := model.AccountStatus(strings.ToUpper(text))
		return status, slices.Contains(states, status)
	})
}

// address returns the address where the row says anything of it: it replaces the whole.
func (r *reader) address() graphql.Omittable[*model.AddressInput] {
	var address model.AddressInput
	_, said := r.values["address"]
	for column, line := range map[string]**string{
		"address1": &address.Address1, "address2": &address.Address2, "company": &address.Company, "city": &address.City,
		"state": &address.State, "provinceCode": &address.ProvinceCode, "zip": &address.Zip,
		"countryCode": &address.CountryCode, "phoneNumber": &address.PhoneNumber,
	} {
		value := r.text("address." + column)
		*line = value.Value()
		said = said || value.IsSet()
	}
	if !said {
		return graphql.Omittable[*model.AddressInput]{}
	}
	return graphql.OmittableOf(&address)
}

var upsertCustomers = writer((*repo.Store).UpsertCustomers)

// writeCustomers writes the inputs, and then those again by their email that were refused because a customer without an
// externalId has it, and that are nobody's otherwise. Their customers were made from an identity's email, before the store's
// own key was known.
func writeCustomers(ctx context.Context, store *repo.Store, inputs []any) ([]*model.Upsert, error) {
	answers, err := upsertCustomers(ctx, store, inputs)
	if err != nil {
		return nil, err
	}
	var holders []uuid.UUID
	for i, answer := range answers {
		if id := emailHolder(inputs[i].(*model.UpsertCustomerInput), answer); id != nil {
			holders = append(holders, *id)
			if own := inputs[i].(*model.UpsertCustomerInput).Origin.ID; own != nil {
				holders = append(holders, *own)
			}
		}
	}
	found, err := store.CustomersByID(ctx, holders)
	if err != nil {
		return nil, err
	}
	var again []any
	var places []int
	for i, answer := range answers {
		input := inputs[i].(*model.UpsertCustomerInput)
		id := emailHolder(input, answer)
		if id == nil || found[*id] == nil || found[*id].ExternalID != nil {
			continue
		}
		if own := input.Origin.ID; own != nil && found[*own] != nil {
			continue
		}
		adopting := *input
		// Of this version, so that an externalId given to it meanwhile stays.
		adopting.By, adopting.IfVersion = model.CustomerKey{Email: input.Email.Value()}, &found[*id].Version
		again, places = append(again, &adopting), append(places, i)
	}
	if again == nil {
		return answers, nil
	}
	adopted, err := upsertCustomers(ctx, store, again)
	if err != nil {
		return nil, err
	}
	for i, place := range places {
		answers[place] = adopted[i]
	}
	return answers, nil
}

// emailHolder returns the customer in the way of an input by externalId, where it is in the way by its email.
func emailHolder(input *model.UpsertCustomerInput, answer *model.Upsert) *uuid.UUID {
	if input.By.ExternalID == nil || len(answer.UserErrors) == 0 {
		return nil
	}
	fault := answer.UserErrors[0]
	if fault.Code != model.UserErrorTaken || fault.Field[len(fault.Field)-1] != "email" {
		return nil
	}
	return fault.ConflictingID
}
