package graph

// Resolver answers the fields of the schema that are not a property of a row. It keeps nothing: each request's store is
// in its context, and so are the loaders of each root field.
type Resolver struct{}
