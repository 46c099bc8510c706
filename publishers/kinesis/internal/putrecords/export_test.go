package putrecords

// ReadAnswers is what an answer of a server becomes.
func ReadAnswers(answer []byte) ([]Answer, error) {
	var r Request
	_, err := r.readAnswers(answer)
	return r.answers, err
}

// FellBack tells whether r writes JSON because a server refused CBOR.
func (r *Request) FellBack() bool { return r.jsonOnly }
