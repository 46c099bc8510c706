package md5lanes

import (
	"crypto/md5" //nolint:gosec // see the package comment
	"encoding"
	"encoding/binary"
	"hash"
	"unsafe"

	"golang.org/x/sys/cpu"
)

//go:generate go run gen.go

const (
	lanes     = 8
	blockSize = md5.BlockSize
	// fewest is how many messages are worth a vector, of which a block takes
	// half again as long as one of crypto/md5.
	fewest = 2
	// mostBlocks bounds one run, since the garbage collector cannot interrupt it.
	mostBlocks = 256
)

var hasVectors = cpu.X86.HasAVX2

// blocks8 adds so many blocks of each message, from an offset on, to its state.
//
//go:noescape
func blocks8(state *[4][lanes]uint32, messages *[lanes]*byte, offset, blocks int)

// sumVectors hashes the whole blocks that several messages have, eight
// messages at a time, and leaves the rest of each to crypto/md5.
func sumVectors(sums [][Size]byte, messages [][]byte) {
	v := vector{single: md5.New()} //nolint:gosec // as above
	for len(messages) > 0 {
		n := min(len(messages), lanes)
		v.hash(messages[:n])
		for i, m := range messages[:n] {
			v.finish(&sums[i], i, m)
		}
		sums, messages = sums[n:], messages[n:]
	}
}

// vector is the work on up to eight messages.
type vector struct {
	state [4][lanes]uint32
	done  [lanes]int // bytes of each message that are in its state

	single hash.Hash
	saved  [4 + Size + blockSize + 8]byte // its serialized form
	sum    [Size]byte
}

// initial is RFC 1321's.
var initial = [4]uint32{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}

func (v *vector) hash(messages [][]byte) {
	for word, value := range initial {
		for lane := range lanes {
			v.state[word][lane] = value
		}
	}
	v.done = [lanes]int{}
	for at := 0; ; {
		next, active := v.shortest(messages, at)
		if active < fewest {
			return
		}
		v.advance(messages, at, next)
		at = next
	}
}

// shortest finds how far all messages go that are longer than at, in whole
// blocks, and how many these are.
func (v *vector) shortest(messages [][]byte, at int) (next, active int) {
	for _, m := range messages {
		whole := len(m) / blockSize * blockSize
		if whole <= at {
			continue
		}
		if active++; active == 1 || whole < next {
			next = whole
		}
	}
	return min(next, at+mostBlocks*blockSize), active
}

// advance hashes from at to next what is that long. The other lanes are given
// one of these messages, for something to read, and keep their state.
func (v *vector) advance(messages [][]byte, at, next int) {
	var pointers [lanes]*byte
	var any *byte
	for i, m := range messages {
		if len(m) >= next {
			pointers[i] = unsafe.SliceData(m)
			any = pointers[i]
			v.done[i] = next
		}
	}
	for i := range pointers {
		if pointers[i] == nil {
			pointers[i] = any
		}
	}
	before := v.state
	blocks8(&v.state, &pointers, at, (next-at)/blockSize)
	for i := range lanes {
		if i >= len(messages) || len(messages[i]) < next {
			for word := range v.state {
				v.state[word][i] = before[word][i]
			}
		}
	}
}

// finish hashes the rest of a message with crypto/md5, which takes over the
// state in its own serialized form: a magic text, the state, the bytes of a
// block that are not in it yet, and the length.
func (v *vector) finish(sum *[Size]byte, lane int, message []byte) {
	copy(v.saved[:], "md5\x01")
	for word := range v.state {
		binary.BigEndian.PutUint32(v.saved[4+4*word:], v.state[word][lane])
	}
	binary.BigEndian.PutUint64(v.saved[len(v.saved)-8:], uint64(v.done[lane]))
	if err := v.single.(encoding.BinaryUnmarshaler).UnmarshalBinary(v.saved[:]); err != nil {
		*sum = md5.Sum(message) //nolint:gosec // as above
		return
	}
	_, _ = v.single.Write(message[v.done[lane]:])
	v.single.Sum(v.sum[:0])
	*sum = v.sum
}
