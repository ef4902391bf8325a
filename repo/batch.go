package repo

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"akin/model"
)

// statement writes a set of inputs. For one alone it has another text, with scalars in the place of arrays: what plan is right
// for one input is so for any other, and can be kept (measured: one event or customer takes a fourth to a sixth of the time).
type statement struct{ one, many string }

// overInput returns the statement that begins with a relation named input and goes on with rest. columns are those of the
// relation, each with its type, in which there is no comma: $2 and so on, behind the store, which is $1. Behind them comes
// position, which counts from 1.
func overInput(columns, rest string) statement {
	var names, scalars, arrays []string
	for i, column := range strings.Split(columns, ",") {
		name, typ, _ := strings.Cut(strings.TrimSpace(column), " ")
		names = append(names, name)
		scalars = append(scalars, fmt.Sprintf("$%d::%s AS %s", i+2, typ, name))
		arrays = append(arrays, fmt.Sprintf("$%d::%s[]", i+2, typ))
	}
	begin := func(input string) string { return "WITH input AS MATERIALIZED (SELECT " + input + "), " + rest }
	return statement{
		one: begin(strings.Join(scalars, ", ") + ", 1::bigint AS position"),
		many: begin("* FROM unnest(" + strings.Join(arrays, ", ") + ") WITH ORDINALITY AS input (" +
			strings.Join(names, ", ") + ", position)"),
	}
}

// ending returns the statement with an end that differs, too.
func (s statement) ending(one, many string) statement {
	return statement{one: s.one + one, many: s.many + many}
}

// write runs a statement for the inputs whose columns these slices are, and reads the rows of its answer into dest.
func (s *Store) write(ctx context.Context, q querier, of statement, columns []any, dest any) error {
	if reflect.ValueOf(columns[0]).Len() > 1 {
		// Planned anew each time, for the tables as they are: a plan kept from when they were empty would read them whole.
		args := append([]any{pgx.QueryExecModeCacheDescribe, s.id}, columns...)
		return scanRows(ctx, s.db, q, of.many, args, dest)
	}
	args := []any{s.id}
	for _, column := range columns {
		args = append(args, reflect.ValueOf(column).Index(0).Interface())
	}
	return scanRows(ctx, s.db, q, of.one, args, dest)
}

// request is an input of an upsert that is to be written, and the place of its answer.
type request[W any, P model.UpsertPayload] struct {
	wanted *W
	path   []string // where the input stands in the arguments
	answer P
}

// kind is a kind of upsert: how an input is checked, and how a set of requests is written.
type kind[I, W any, P model.UpsertPayload] struct {
	payload func() P
	// searched is whether what it writes is in the indexes that a merger merges.
	searched bool
	// check returns what the input asks for and the keys that no other input of its batch may have, or its faults.
	check func(input *I, path ...string) (wanted *W, keys []any, faults []*model.UserError)
	// write answers the requests, and returns those that it could not answer with errLostRace. On any other error it
	// returns them all.
	write func(ctx context.Context, q querier, requests []*request[W, P]) (unanswered []*request[W, P], err error)
}

// answered counts upserts that were answered, and for the merger those that wrote something.
func (k kind[I, W, P]) answered(ctx context.Context, s *Store, payloads ...P) {
	countUpserts(ctx, payloads...)
	if !k.searched {
		return
	}
	written := 0
	for _, payload := range payloads {
		if outcome := payload.Result().Outcome; outcome != nil && *outcome != model.OutcomeUnchanged {
			written++
		}
	}
	s.merger.wrote(written)
}

// upsertBatch upserts a batch in one statement, and answers each input in its place. An input with a key of an earlier
// one is DUPLICATE_IN_BATCH. Under RejectAll one faulty input makes the sound ones BATCH_REJECTED, and either all is
// written or nothing; what the store has against each is found by writing them all the same. Under KeepValid what was
// written stays written when an error is returned; the same inputs can be sent again. It returns BAD_USER_INPUT unless
// there are 1 to model.MaxBatch inputs, and UNAVAILABLE where the database cannot be reached.
func upsertBatch[I, W any, P model.UpsertPayload](
	ctx context.Context, s *Store, inputs []*I, policy model.BatchErrorPolicy, k kind[I, W, P],
) (*model.Batch[P], error) {
	if err := model.CheckBatch(len(inputs)); err != nil {
		return nil, err
	}
	batch, err := writeBatch(ctx, s, inputs, policy, k)
	if err != nil {
		return nil, err
	}
	k.answered(ctx, s, batch.Results...)
	return batch, nil
}

func writeBatch[I, W any, P model.UpsertPayload](
	ctx context.Context, s *Store, inputs []*I, policy model.BatchErrorPolicy, k kind[I, W, P],
) (*model.Batch[P], error) {
	batch := &model.Batch[P]{Results: make([]P, len(inputs))}
	pending := k.checkAll(inputs, batch.Results)
	if len(pending) == 0 {
		return batch, nil
	}
	err := withRetries(ctx, func(ctx context.Context) (err error) {
		if policy == model.RejectAll {
			return s.usePrimary(ctx).transaction(ctx, func(tx pgx.Tx) error {
				if _, err := k.write(ctx, tx, pending); err != nil {
					return err
				}
				return faulty(batch.Results)
			})
		}
		pending, err = k.write(ctx, s.usePrimary(ctx), pending)
		return err
	})
	if errors.Is(err, errFaulty) {
		k.reject(batch.Results)
		return batch, nil
	}
	return batch, err
}

// checkAll gives every input its place in results, with its faults if it has any, and returns the others' requests.
func (k kind[I, W, P]) checkAll(inputs []*I, results []P) []*request[W, P] {
	first := make(map[any]int, len(inputs))
	pending := make([]*request[W, P], 0, len(inputs))
	for i, input := range inputs {
		path := []string{"inputs", strconv.Itoa(i)}
		wanted, keys, faults := k.check(input, path...)
		results[i] = k.payload()
		for _, key := range keys {
			if earlier, ok := first[key]; ok && faults == nil {
				faults = []*model.UserError{duplicate(earlier, path)}
			}
		}
		if faults != nil {
			results[i].Result().UserErrors = faults
			continue
		}
		for _, key := range keys {
			first[key] = i
		}
		pending = append(pending, &request[W, P]{wanted: wanted, path: path, answer: results[i]})
	}
	return pending
}

func duplicate(earlier int, path []string) *model.UserError {
	return &model.UserError{
		Code: model.UserErrorDuplicateInBatch, Field: path,
		Message: "the key is that of inputs[" + strconv.Itoa(earlier) + "]",
	}
}

// refuseTakenIDs answers the requests of an import that would give a new object the ID of another, of whatever type, and
// returns the others. is reports whether an object is the one that a request is for.
func refuseTakenIDs[W any, P model.UpsertPayload](
	ctx context.Context, s *Store, requests []*request[W, P], origin func(*W) model.Origin, is func(*W, model.Node) bool,
) ([]*request[W, P], error) {
	var ids []uuid.UUID
	for _, r := range requests {
		if id := origin(r.wanted).ID; id != nil {
			ids = append(ids, *id)
		}
	}
	if ids == nil {
		return requests, nil
	}
	nodes, err := s.Showing(nil).nodesByID(ctx, ids) // whole, for their keys
	if err != nil {
		return requests, err
	}
	return slices.DeleteFunc(slices.Clone(requests), func(r *request[W, P]) bool {
		id := origin(r.wanted).ID
		if id == nil || nodes[*id] == nil || is(r.wanted, nodes[*id]) {
			return false
		}
		r.answer.Result().UserErrors = []*model.UserError{{
			Code: model.UserErrorTaken, Field: append(slices.Clone(r.path), "id"), Message: "id must be the object's alone; another object has it",
			ConflictingID: id,
		}}
		return true
	}), nil
}

// unanswered returns those of the requests that are not marked as answered, with errLostRace where there are any.
func unanswered[W any, P model.UpsertPayload](requests []*request[W, P], answered []bool) (left []*request[W, P], err error) {
	for i, r := range requests {
		if !answered[i] {
			left, err = append(left, r), errLostRace
		}
	}
	return left, err
}

// errFaulty undoes a batch that is to be written whole or not at all.
var errFaulty = errors.New("an input of the batch has errors")

func faulty[P model.UpsertPayload](results []P) error {
	for _, result := range results {
		if len(result.Result().UserErrors) > 0 {
			return errFaulty
		}
	}
	return nil
}

// reject answers every input that has no error of its own with the news that another has.
func (k kind[I, W, P]) reject(results []P) {
	for i, result := range results {
		if len(result.Result().UserErrors) > 0 {
			continue
		}
		results[i] = k.payload()
		results[i].Result().UserErrors = []*model.UserError{{
			Code: model.UserErrorBatchRejected, Field: []string{"inputs", strconv.Itoa(i)},
			Message: "nothing was written, because another input of the batch has errors",
		}}
	}
}

// upsertAlone upserts one input: in one round trip, unless it loses a race.
func upsertAlone[I, W any, P model.UpsertPayload](ctx context.Context, s *Store, input *I, k kind[I, W, P]) (P, error) {
	payload := k.payload()
	wanted, _, faults := k.check(input, "input")
	if faults != nil {
		payload.Result().UserErrors = faults
		k.answered(ctx, s, payload)
		return payload, nil
	}
	requests := []*request[W, P]{{wanted: wanted, path: []string{"input"}, answer: payload}}
	err := withRetries(ctx, func(ctx context.Context) error {
		_, err := k.write(ctx, s.usePrimary(ctx), requests)
		return err
	})
	if err == nil {
		k.answered(ctx, s, payload)
	}
	return payload, err
}
