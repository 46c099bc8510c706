// Package httpapi is the sandbox's API Gateway: an http.Handler that stands before
// one function as an HTTP API with the route $default does. Requests become events
// of payload format version 2.0, the function is invoked through Lambda's API, and
// its answer becomes the response.
//
// Caveats first. There is one route to one function; no authorizers, CORS, stage
// variables, parameter mapping, throttling of its own, or access log. The function
// may be anywhere that the Lambda client reaches. What went wrong is told to the
// client in API Gateway's few words, and to the operator by the Logger.
//
// What it does as API Gateway, and how that is known:
//
//   - The form of events and answers: developer guide, "Create AWS Lambda proxy
//     integrations for HTTP APIs". An answer without statusCode is a body as a whole.
//   - rawPath is decoded, and ends at a decoded "?"; rawQueryString is as sent
//     (https://github.com/middleapi/standard-server/pull/93, and
//     https://github.com/ministackorg/ministack/issues/1035).
//   - A named stage is the first segment of the path, in rawPath too
//     (https://github.com/CodeGenieApp/serverless-express/issues/465).
//   - Bodies are text where the media type is text/*, application/json,
//     application/xml or application/javascript, and base64 otherwise
//     (https://github.com/ministackorg/ministack/pull/766). Text that is not UTF-8 is
//     base64 here too, for JSON could not hold it.
//   - Limits: "Quotas for configuring and running an HTTP API": 10 MB of payload, of
//     which Lambda takes no more than 6 MB as an event, 413 beyond either
//     (https://github.com/aws/aws-lambda-dotnet/pull/1990); 10,240 bytes of request
//     line and header values, 431 beyond, a status of our choice; 30 s, 503 beyond
//     (https://github.com/serverless/serverless/issues/11222).
//   - Everything else that fails is a 500 with {"message":"Internal Server Error"},
//     a throttle too: Lambda developer guide, "Handling Lambda errors with an API
//     Gateway API", which knows no other for a call that Lambda refuses. API Gateway
//     does not try again.
package httpapi
