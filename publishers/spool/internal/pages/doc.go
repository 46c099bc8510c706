// Package pages reads the file of a bbolt database without bbolt: with plain
// reads, without its lock, and without trusting a byte of it.
//
// bbolt maps the file into memory and believes what is there. On a damaged file
// it panics, in goroutines of its own too, follows references in circles until
// the stack is full, or touches memory behind the end of the file, none of which
// a program can catch. So the spool looks here first whether bbolt may open the
// file. And bbolt's lock keeps readers out as long as a writer has the file,
// which is exactly when a spool is worth looking into.
//
// What is read here is the format of bbolt's data file, version 2: pages of one
// size, of which the first two hold the two latest roots ([Meta]); a tree of
// branch and leaf pages for each bucket; small buckets inside their parent's
// leaf. Numbers have the byte order of the machine that wrote them.
package pages
