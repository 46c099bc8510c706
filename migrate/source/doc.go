// Package source is the MongoDB side of a migration: the collection that moves, under
// whichever names it has while it is fenced, the barriers in its change stream, and
// what a migration reads of a change event.
package source
