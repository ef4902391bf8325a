package playground

// NewHandler is Handler over assets of the test's own, whether or not this binary was built with any.
var NewHandler = handler
