// Package mapping is the language that makes a message of one shape from a message of
// another: the bodies, statuses, headers, cookies, paths and parameters of a route whose old
// endpoint is served by a new API.
//
//	m, err := mapping.CompileResponse(spec, mapping.Context{Params: []string{"id"}})
//	body, err := mapping.DecodeBody(contentType, raw)
//	answer, err := m.Map(&mapping.Scope{Body: body, Status: 200}, header)
//
// A Template is the wanted JSON with references and expressions in it; language.md is its
// reference, and endpoints.md shows ten ordinary endpoints.
//
// The language is our own: of gojq, CEL, expr and JSONata, tried with the same three
// endpoints, each loses the order of an object's members, three round whole numbers above
// 2^53, and three make 1998.9999999999998 of 19.99 * 100. They also cost three to five times
// as much, as they need a body decoded into maps and encoded again.
//
// # Caveats
//
//   - What a template copies keeps its bytes: the digits of numbers, the order of members,
//     escapes, also members of one name that come twice. References see the last of those.
//   - null is a value, and default stands for absence only; or stands for both.
//   - Nothing that a client sends can make a template loop: what it may make and how
//     many steps it may take is bounded, and Map then returns ErrTooLarge.
//   - Errors quote what could not be mapped, 40 bytes of a text at most.
package mapping
