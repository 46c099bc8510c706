package putrecords

// ReadAnswers reads answers of a server one after the other, by the same request,
// and returns what the last becomes.
func ReadAnswers(answers ...[]byte) (got []Answer, err error) {
	var r Request
	for _, answer := range answers {
		_, err = r.readAnswers(answer)
	}
	return r.answers, err
}

// FellBack reports whether r writes JSON because a server refused CBOR.
func (r *Request) FellBack() bool { return r.jsonOnly }

// Len is how many records r has.
func (r *Request) Len() int { return len(r.entries) }

// Size is how many bytes they have.
func (r *Request) Size() int { return r.bytes }
