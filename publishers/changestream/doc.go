// Package changestream publishes the changes of a MongoDB database as domain
// events, for legacy code that nobody dares to touch: it follows the change
// stream, and a mapping says which events are made of which changes.
package changestream
