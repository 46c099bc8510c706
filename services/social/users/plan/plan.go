// Package plan holds the entity plans of Banyan's own services, so that
// programs which move those entities need no file beside them.
package plan

import _ "embed"

// Users is the plan of the users service.
//
//go:embed users.yaml
var Users []byte
