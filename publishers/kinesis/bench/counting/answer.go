package counting

import "strconv"

const (
	// sequencePrefix and the 20 digits behind it make a number of 56, as the
	// service's are.
	sequencePrefix = "495903382714902566085596925383615710"
	sequenceDigits = 20
	codeThrottled  = "ProvisionedThroughputExceededException"
)

func (s *stream) refusal() string {
	return "Rate exceeded for shard " + s.ids[0] + " in stream " + s.cfg.Name + " under account 000000000000."
}

func (s *stream) answerJSON(dst []byte, records []record, refused int) []byte {
	dst = append(dst, `{"FailedRecordCount":`...)
	dst = strconv.AppendInt(dst, int64(refused), 10)
	dst = append(dst, `,"Records":[`...)
	for i := range records {
		if i > 0 {
			dst = append(dst, ',')
		}
		r := &records[i]
		if r.refused {
			dst = append(dst, `{"ErrorCode":"`+codeThrottled+`","ErrorMessage":"`...)
			dst = append(dst, s.refusal()...)
			dst = append(dst, `"}`...)
			continue
		}
		dst = append(dst, `{"SequenceNumber":"`...)
		dst = appendSequence(dst, r.sequence)
		dst = append(dst, `","ShardId":"`...)
		dst = append(dst, s.ids[r.shard]...)
		dst = append(dst, `"}`...)
	}
	return append(dst, `]}`...)
}

func (s *stream) answerCBOR(dst []byte, records []record, refused int) []byte {
	dst = appendCBORHead(dst, cborMap, 2)
	dst = appendCBORText(dst, "FailedRecordCount")
	dst = appendCBORHead(dst, cborUnsigned, uint64(refused))
	dst = appendCBORText(dst, "Records")
	dst = appendCBORHead(dst, cborArray, uint64(len(records)))
	for i := range records {
		r := &records[i]
		dst = appendCBORHead(dst, cborMap, 2)
		if r.refused {
			dst = appendCBORText(appendCBORText(dst, "ErrorCode"), codeThrottled)
			dst = appendCBORText(appendCBORText(dst, "ErrorMessage"), s.refusal())
			continue
		}
		dst = appendCBORText(dst, "SequenceNumber")
		dst = appendCBORHead(dst, cborText, uint64(len(sequencePrefix)+sequenceDigits))
		dst = appendSequence(dst, r.sequence)
		dst = appendCBORText(appendCBORText(dst, "ShardId"), s.ids[r.shard])
	}
	return dst
}

func appendSequence(dst []byte, n uint64) []byte {
	dst = append(dst, sequencePrefix+"00000000000000000000"...)
	for i := len(dst) - 1; n > 0; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
	return dst
}
