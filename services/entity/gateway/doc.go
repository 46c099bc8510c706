// Package gateway is an entity store over HTTP, from the entity plan alone, for services that
// are not written in Go.
//
//	handler, err := gateway.New(gateway.Config{Store: store})
//
// For an entity called orders:
//
//	GET    /v1/orders/{id}                      one document; ETag is its version
//	PUT    /v1/orders/{id}                      make or replace it; If-Match, If-None-Match: *
//	PATCH  /v1/orders/{id}                      JSON Merge Patch (RFC 7396); If-Match
//	DELETE /v1/orders/{id}                      If-Match
//	POST   /v1/orders                           make one, with the body's _id or a new one
//	GET    /v1/orders?ids=a,b                   several; id=, again and again, for ids with a comma
//	GET    /v1/orders?limit=&cursor=            all, page by page
//	GET    /v1/orders/by/email?email=x          by the unique constraint of that name
//	GET    /v1/orders/index/by-customer?equal=x&from=&below=&descending=&limit=&cursor=
//	GET    /openapi.json                        all of this as OpenAPI
//
// An {id} is what the key of the item has for it: a string as it is, an ObjectId's 24 digits, a
// number, a UUID, "<field>#<field>" of a compound one; percent-encoded. Documents are JSON as
// package extjson has it: plain where the plan declares types, Extended JSON elsewhere, and
// canonical Extended JSON under the media type application/json;types=canonical. The version,
// the outbox and [RequestsField] are in no body.
//
// # Idempotency-Key
//
// A write may carry a key, of 1 to 255 characters. It is kept in the document, in the same
// atomic step as the write, for 24 hours or until 16 later writes of the document had keys; and
// moves with it. The same request under the same key has no effect again: it gets the first
// status, the ETag of then, the document as it is now, and Idempotency-Replayed: true. Another
// request under it is a 422. A key is a document's own. POST without an _id makes the id of the key.
//
// A deleted document keeps no keys. A DELETE under a key finds its work done where there is no
// document, whoever deleted it; where one was made anew it is deleted, too, unless it has another
// version than If-Match. A POST or PUT whose document was deleted since makes it again.
//
// # Events
//
// A body of the media type application/vnd.banyan.write+json has the write and its events,
// which are kept in the same atomic step and published right after it; the answer's
// Banyan-Written says where the last one is on the stream:
//
//	{"document": {...}, "events": [{"type": "order.placed", "subject": "order/7", "data": {...}}]}
//
// PATCH has "patch" in the place of "document", DELETE neither. An event's dataversion is 1 and its
// partition key the id, unless it says otherwise; all events of a document should have one key.
// A request that is repeated may have its events published again: under an Idempotency-Key as the
// same events, by their ids.
//
// # Clients
//
// What is answered with 503, or not answered, is to be sent again after Retry-After with the same
// Idempotency-Key: during a change of owner that is normal. The README of the folder example has all
// that a client must do, with a model for Node.js that does it.
//
// # Caveats
//
//   - A patch cannot store null, which removes a field; PUT can.
//   - In a patch a number without a declared type is of the type that its text shows.
//   - In MongoDB a document that is deleted and made anew may begin with the ETag "1" again, so that an
//     If-Match of before is true of it.
//   - Text that is not UTF-8 cannot be read through the gateway.
package gateway
