// Package lambdahttp runs an http.Handler as a Lambda function behind API Gateway, an HTTP API
// with payload format version 2.0 or 1.0 or a REST API with a proxy integration, or behind a
// function URL:
//
//	handler, err := lambdahttp.New(api, lambdahttp.Config{Service: "timeline", Metrics: metrics})
//	...
//	lambda.Start(handler)
//
// The handler gets the requests of net/http's server, and its responses follow the same
// rules: a service behaves the same as a server and as a function.
//
// # Caveats
//
//   - HTTP APIs pass the path percent-decoded, and cut it off at a decoded "?"
//     (seen on AWS: https://github.com/middleapi/standard-server/pull/93).
//     "%2F" in a segment cannot be distinguished from "/". REST APIs and function URLs
//     pass it as it was sent. Load balancers are not served.
//   - The name of a stage other than $default is part of the path of HTTP APIs, also
//     behind a custom domain (https://github.com/CodeGenieApp/serverless-express/issues/465).
//     It is removed; the handler has the same paths on every stage. The base path of a
//     custom domain of a REST API stays part of it.
//   - In format 1.0 parameters of the query are in the order of their names.
//   - In format 2.0 values of a header that was sent several times arrive in one line, separated
//     by commas. They are never split: dates, entity tags and JSON have commas too.
//   - A response is sent whole when the handler returns, at most [MaxResponse] bytes as
//     the function's JSON; a larger one becomes a 500 with
//     /problems/response-too-large. Flush is accepted and has no effect. Hijacking,
//     trailers and upgrades are not supported.
//   - A panic of the handler becomes a 500 and is logged; one in another goroutine
//     ends the process, as it does everywhere.
//
// The request's context ends a little before Lambda would stop the function, so that
// a handler that observes it can still respond.
//
// Pings of package warm do not reach the handler and are not counted.
//
// # Correlation
//
// The headers of package correlation arrive as they were sent. Where the client
// sent no correlation id, it is API Gateway's id of the request, which its
// access log contains too.
//
// # Metrics
//
// One line a request, in the embedded format, in the namespace [Namespace] with the
// dimension Service: Requests, Latency in milliseconds, and one of Status2xx,
// Status3xx, Status4xx and Status5xx, each of which is 1. Events that are
// not requests fail the function instead, which Lambda's own metric Errors counts.
package lambdahttp
