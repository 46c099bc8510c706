// Package demo strangles a monolith before a person's eyes, and proves that
// nobody was harmed.
//
// It starts the whole world as separate processes (world.go, process.go):
// the sandbox or the user's own servers, the monolith with its data, the
// users service, the timeline API, the proxy, and the consumers as Lambda
// functions. Simulated mobile clients (client.go, traffic.go) keep hitting
// the proxy with the old API and check what they read against what they
// wrote, while the story goes on (story.go): the timeline route is shifted
// to the read model, and the entity users is migrated and switched
// (migration.go), if asked for under injected faults and SIGKILLs
// (chaos.go). In the end the stream is read and folded, and the read models
// and tables are compared with what they must be (audit.go). Every number of
// the summary (report.go) is measured; an invariant that broke makes the
// command exit non-zero.
//
// What is not real here: AWS and MongoDB are the embedded sandbox unless
// AWS_ENDPOINT_URL or MONGODB_URI say otherwise; the clients are simulated;
// all of it runs on one machine.
package demo
