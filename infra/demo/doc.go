// Package demo migrates a sample monolith while simulated mobile apps use it, and
// then checks that no app noticed and nothing was lost.
//
// [Run] does, in order (run.go):
//
//  1. Start everything as separate processes (world.go, process.go): the sandbox, or
//     the servers that the environment names; the monolith with generated or imported
//     data; the services of users, relationships, posts and timelines, the proxy; the two consumers as Lambda
//     functions (deploy.go). One malformed record goes on the stream (deadletters.go).
//  2. Start the traffic (traffic.go, mobile.go): apps that know only the old API send
//     requests to the proxy until the end, and check each answer against what they
//     wrote before.
//  3. Move the timeline route to the read model, for 10, 50 and 100 % of the users.
//  4. Migrate the entities users, relationships and posts, one after the other: plan, encapsulate, copy, verify,
//     cut over; the users are rolled back and cut over again, the second time while the posts are
//     cut over (migration.go). With chaos,
//     faults are injected into the services' calls, banyan-migrate and the instances of the
//     services are killed again and again (chaos.go), and the commands of banyan-migrate to
//     MongoDB are lost, repeated, or arrive up to a minute late (network.go), all by the seed.
//     What the monolith asked of an instance that was killed it asks of the other one, and
//     writes that got no answer are counted. [RunSeeds] does so for many seeds.
//  5. Stop the traffic and check the outcome (audit.go): every acknowledged write is on
//     the stream, each version of each user too, in their order; both read models equal the
//     fold of the stream; no event waits in an outbox; every document is in DynamoDB as MongoDB
//     had it; each consumer has one dead letter.
//  6. Print the summary (report.go), of measured numbers only. Run returns an error if
//     an invariant was broken; the screen then has the warnings logged just before the
//     first failure, and the command that reproduces it (failurelog.go).
//
// [Up] does the first step and leaves it running, with a list of what to try.
//
// What is not real: AWS and MongoDB are the embedded sandbox unless AWS_ENDPOINT_URL or
// MONGODB_URI say otherwise; the apps are simulated; all of it runs on one machine.
package demo
