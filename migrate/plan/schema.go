package plan

import _ "embed"

// Schema is the JSON Schema of a plan, for editors that check and complete YAML. A plan
// refers to a copy of it in its first line:
//
//	# yaml-language-server: $schema=plan.schema.json
//
//go:embed plan.schema.json
var Schema []byte
