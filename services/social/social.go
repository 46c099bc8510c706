// Package social is the example company: a small social network with users,
// relationships, posts and timelines. Its folders hold the monolith, the services
// that were extracted from it, their entity plans, and the acceptance cases of its
// APIs. It shows how the backbone is used, and is not a part of it.
package social

import _ "embed"

// Routes is the route file of the proxy that stands before the monolith, with
// environment variables for the addresses.
//
//go:embed routes.yaml
var Routes []byte
