package attribute

// KeyText encodes a scalar so that the bytewise order of the results is the order the service
// keeps sort keys in: S and B by their bytes, N by value.
func KeyText(v Value) string {
	if v.kind != N {
		return v.text
	}
	d, err := parseDecimal(v.text)
	if err != nil { // a normalised number always parses
		return v.text
	}
	return d.key()
}

const (
	keyNegative = 0x10
	keyZero     = 0x20
	keyPositive = 0x30
	pointBias   = 512
)

// key is sign, exponent and digits; for a negative number the last two are complemented and end
// with a byte above every digit, so that the longer of two is the smaller.
func (d decimal) key() string {
	if d.digits == "" {
		return string([]byte{keyZero})
	}
	point := d.point + pointBias
	if !d.negative {
		return string([]byte{keyPositive, byte(point >> 8), byte(point)}) + d.digits
	}
	out := make([]byte, 0, len(d.digits)+4)
	out = append(out, keyNegative, ^byte(point>>8), ^byte(point))
	for i := range len(d.digits) {
		out = append(out, '0'+'9'-d.digits[i])
	}
	return string(append(out, 0xff))
}
