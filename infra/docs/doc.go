// Package docs holds the documents of the repository against its code: the table of
// layers in ARCHITECTURE.md against the imports, the tests that it names against the
// tests there are, the reference of the commands against what they print, and links
// against the files they lead to. It has tests only.
package docs
