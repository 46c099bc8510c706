// Package services holds no code: its folders are the kit of an extracted service, and
// its example is such a service from nothing (see also the README).
//
//	httpjson     endpoints that return errors, problems, reading of requests
//	jsonclient   calls of a JSON API: deadlines, retries, a circuit breaker
//	keyedlock    a lock for each key, so that events keep the order of the writes
//	entity       one store over both databases, from the entity plan, its wiring (backbone), and it over HTTP (gateway)
//	lambdahttp   an http.Handler as a Lambda function behind an HTTP API
//	acceptance   cases against a handler in the process or a deployed API
//
// Beside the kit a service uses migrate/ownership (which store accepts its writes),
// infra/token (whose a request is) and infra/serving (a command that serves).
package services
