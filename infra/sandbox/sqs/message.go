package sqs

import (
	"crypto/md5"
	"encoding/hex"
	"unicode/utf8"
)

func bodyMD5(body string) string {
	sum := md5.Sum([]byte(body))
	return hex.EncodeToString(sum[:])
}

// validText reports whether SQS can carry a body: the characters of XML 1.0.
func validText(s string) bool {
	for _, r := range s {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
		case r < 0x20, r == 0xFFFE, r == 0xFFFF:
			return false
		}
	}
	return utf8.ValidString(s)
}
