package recommend

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/banyan-fig/banyan/consumers/once"
)

const (
	prefixOut = "out#"
	prefixIn  = "in#"
	// prefixSuggestion, with a user after it, is the attribute of a list with what they share.
	prefixSuggestion = "s#"
	buckets          = 16
	// sortLeft is before all hashes.
	sortLeft = "!left"
	hashSize = 8

	attrPresent = "present"
	attrAt      = "at"
	attrRev     = "rev"
	attrMarks   = "n"
	attrOwn     = "own"
	attrTold    = "told"
)

// sample is a short hash of words, in hexadecimal digits.
func sample(words ...string) string {
	h := sha256.New()
	for _, w := range words {
		fmt.Fprintf(h, "%d:%s", len(w), w)
	}
	return hex.EncodeToString(h.Sum(nil))[:hashSize]
}

func outKey(from, to string) once.Key { return once.KeyOf(prefixOut+from, sample(from, to)+to) }

func inKey(to, from string) once.Key { return once.KeyOf(prefixIn+to, sample(to, from)+from) }

func listKey(user string) once.Key { return once.KeyOf("list#"+user, "list") }

func bucketKey(n int) string { return fmt.Sprintf("due#%02d", n) }

func dueKey(user string) once.Key {
	h := sha256.Sum256([]byte(user))
	return once.KeyOf(bucketKey(int(h[0])%buckets), user)
}
