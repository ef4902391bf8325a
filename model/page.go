package model

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/google/uuid"
)

// The length of a page.
const (
	MaxPage     = 100
	DefaultPage = 20
)

// PageArgs are the arguments of a Relay connection, as they were sent.
type PageArgs struct {
	First  *int
	After  *string
	Last   *int
	Before *string
}

// Page is the part of an ordered list that PageArgs ask for. Pages can be compared with ==.
type Page struct {
	Size     int
	Backward bool   // the last Size rather than the first
	After    Cursor // begins behind this place; the zero Cursor is the list's beginning
	Before   Cursor // ends before this place; the zero Cursor is the list's end
}

// Page checks the arguments and decodes their cursors, which must be of this scope (see Cursor.Encode). It returns
// BAD_USER_INPUT for first with last, for a length outside 1 to MaxPage, and for a cursor that is broken or foreign.
func (a PageArgs) Page(scope string) (Page, error) {
	page := Page{Size: DefaultPage, Backward: a.Last != nil}
	err := a.CheckSize()
	if err != nil {
		return page, err
	}
	if size := cmp.Or(a.First, a.Last); size != nil {
		page.Size = *size
	}
	if page.After, err = decodeCursor(scope, "after", a.After); err != nil {
		return page, err
	}
	page.Before, err = decodeCursor(scope, "before", a.Before)
	return page, err
}

// CheckSize checks all of the arguments but the cursors. It returns BAD_USER_INPUT for first with last, and for a length outside
// 1 to MaxPage.
func (a PageArgs) CheckSize() error {
	if a.First != nil && a.Last != nil {
		return BadInput("first", "must not be given together with last")
	}
	name := "first"
	if a.Last != nil {
		name = "last"
	}
	if size := cmp.Or(a.First, a.Last); size != nil && (*size < 1 || *size > MaxPage) {
		return BadInput(name, fmt.Sprintf("must be 1 to %d", MaxPage))
	}
	return nil
}

// Cursor is a place in an ordered list: the value that the list is sorted by and, between equals, the ID. Lists sorted
// by ID alone leave the value empty.
type Cursor struct {
	Value string
	ID    uuid.UUID
}

// Encode returns the cursor as clients see it: opaque, and with a checksum over the scope, which names the store, the
// list and its order, so that a cursor that is broken or from elsewhere is refused. Nothing secret is in it, and no
// forged one reaches more than another place in the same list.
func (c Cursor) Encode(scope string) string {
	b := make([]byte, 4, 20+len(c.Value))
	b = append(b, c.ID[:]...)
	b = append(b, c.Value...)
	binary.BigEndian.PutUint32(b, cursorSum(scope, b[4:]))
	return base64.RawURLEncoding.EncodeToString(b)
}

func decodeCursor(scope, name string, encoded *string) (Cursor, error) {
	if encoded == nil {
		return Cursor{}, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(*encoded)
	if err != nil || len(b) < 20 || binary.BigEndian.Uint32(b) != cursorSum(scope, b[4:]) {
		return Cursor{}, BadInput(name, "must be a cursor that this list gave, in this order")
	}
	return Cursor{Value: string(b[20:]), ID: uuid.UUID(b[4:20])}, nil
}

func cursorSum(scope string, payload []byte) uint32 {
	return crc32.Update(crc32.ChecksumIEEE([]byte(scope)), crc32.IEEETable, payload)
}

// Edge is an object and its place in a list.
type Edge[T any] struct {
	Cursor string
	Node   *T
}

// PageInfo says what lies around a page.
type PageInfo struct {
	HasNextPage     bool
	HasPreviousPage bool
	StartCursor     *string
	EndCursor       *string
}

// Connection is a page of a list in the shape of the Relay connection specification. What an answer does not show of it is
// not made.
type Connection[T any] struct {
	Nodes []*T

	page   Page
	more   bool // beyond the page, in its direction
	cursor func(*T) string
}

// NewConnection returns the page's connection. rows are in the list's order read in the page's direction and hold one
// more than the page where there is more; cursor returns a row's place, encoded.
func NewConnection[T any](page Page, rows []*T, cursor func(*T) string) Connection[T] {
	more := len(rows) > page.Size
	if more {
		rows = rows[:page.Size]
	}
	if page.Backward {
		slices.Reverse(rows)
	}
	return Connection[T]{Nodes: rows, page: page, more: more, cursor: cursor}
}

// Edges returns the nodes with their places.
func (c *Connection[T]) Edges() []*Edge[T] {
	edges := make([]*Edge[T], len(c.Nodes))
	for i, node := range c.Nodes {
		edges[i] = &Edge[T]{Cursor: c.cursor(node), Node: node}
	}
	return edges
}

// PageInfo returns what lies around the page.
func (c *Connection[T]) PageInfo() *PageInfo {
	info := &PageInfo{HasNextPage: c.more, HasPreviousPage: c.page.After != Cursor{}}
	if c.page.Backward {
		info.HasPreviousPage, info.HasNextPage = c.more, c.page.Before != Cursor{}
	}
	if len(c.Nodes) > 0 {
		info.StartCursor, info.EndCursor = new(c.cursor(c.Nodes[0])), new(c.cursor(c.Nodes[len(c.Nodes)-1]))
	}
	return info
}

// Pages are some pages of one list, by what names them. An answer shows few, mostly one.
type Pages[K comparable, C any] []namedPage[K, C]

type namedPage[K comparable, C any] struct {
	name K
	page *C
}

// Get returns the page of this name, nil where there is none.
func (p Pages[K, C]) Get(name K) *C {
	for i := range p {
		if p[i].name == name {
			return p[i].page
		}
	}
	return nil
}

// Add adds a page; there must be none of its name.
func (p *Pages[K, C]) Add(name K, page *C) { *p = append(*p, namedPage[K, C]{name, page}) }
