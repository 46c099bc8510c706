// Package plans holds the entity plans of the example company's services, so that
// programs which move those entities need no file beside them.
package plans

import _ "embed"

// The plans, each of the service with its name.
var (
	//go:embed users.yaml
	Users []byte
	//go:embed relationships.yaml
	Relationships []byte
	//go:embed posts.yaml
	Posts []byte
)
