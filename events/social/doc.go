// Package social has the events of the example company, a small social network:
// users join and leave, follow each other, publish posts and delete them. It shows how
// a company declares its events; nothing of the backbone knows it.
//
// The partition key of each is the id of the acting user, so that one user's
// events are ordered.
package social
