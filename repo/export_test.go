package repo

// Parameters is parameters, for tests that see statements as the Tracer does.
var Parameters = parameters
