// Package httpjson is what the JSON APIs of the services have in common: how a request
// is read, and how a problem (RFC 9457) is told.
package httpjson
