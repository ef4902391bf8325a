package graph

// Resolver answers the fields of the schema that are not a property of a row. It keeps nothing: each request's store is
// in its context.
type Resolver struct{}
