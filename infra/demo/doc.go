// Package demo migrates a sample monolith while simulated mobile apps use it, and
// then checks that no app noticed and nothing was lost.
//
// [Run] does, in order (run.go):
//
//  1. Start everything as separate processes (world.go, process.go): the sandbox, or
//     the servers that the environment names; the monolith with generated or imported
//     data; the users service, the timeline API, the proxy; the two consumers as Lambda
//     functions (deploy.go). One malformed record goes on the stream (deadletters.go).
//  2. Start the traffic (traffic.go, mobile.go): apps that know only the old API send
//     requests to the proxy until the end, and check each answer against what they
//     wrote before.
//  3. Move the timeline route to the read model, for 10, 50 and 100 % of the users.
//  4. Migrate the entity users: plan, copy, verify, cut over (migration.go). With chaos,
//     faults are injected into the services' calls and banyan-migrate is killed again
//     and again, all by the seed (chaos.go).
//  5. Stop the traffic and check the outcome (audit.go): every acknowledged write is on
//     the stream; both read models equal the fold of the stream; every user is in
//     DynamoDB as MongoDB had it; each consumer has one dead letter.
//  6. Print the summary (report.go), of measured numbers only. Run returns an error if
//     an invariant was broken; the screen then has the warnings logged just before the
//     first failure, and the command that reproduces it (failurelog.go).
//
// [Up] does the first step and leaves it running, with a list of what to try.
//
// What is not real: AWS and MongoDB are the embedded sandbox unless AWS_ENDPOINT_URL or
// MONGODB_URI say otherwise; the apps are simulated; all of it runs on one machine.
package demo
