package fakering

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"nano/uring"
)

// recordLength is how many events a failure shows.
const recordLength = 40

// noted is one event on the ring.
type noted struct {
	at       time.Time
	what     string
	kind     string // of the operation; empty: none
	userData uring.UserData
	fd       int
	result   int32
	flags    uint32
}

func (n noted) String() string {
	s := n.at.Format("15:04:05.000000000") + " " + n.what
	if n.kind != "" {
		s += fmt.Sprintf(" %s(user data %#x, descriptor %d)", n.kind, uint64(n.userData), n.fd)
	}
	return s + fmt.Sprintf(" result %d flags %#x", n.result, n.flags)
}

// record keeps the last events for a failure's report, and a digest of all for comparing runs.
type record struct {
	last   [recordLength]noted
	count  int
	digest uint64
	bytes  []byte
}

func (r *record) note(now time.Time, what string, op *operation, result int32, flags uint32) {
	n := noted{at: now, what: what, result: result, flags: flags}
	if op != nil {
		n.kind, n.userData, n.fd = kindNames[op.kind], op.userData, op.fd
	}
	r.last[r.count%recordLength] = n
	r.count++
	b := binary.LittleEndian.AppendUint64(r.bytes[:0], r.digest)
	for _, word := range [...]uint64{uint64(n.at.UnixNano()), uint64(n.userData), uint64(n.fd),
		uint64(uint32(n.result))<<32 | uint64(n.flags)} {
		b = binary.LittleEndian.AppendUint64(b, word)
	}
	b = append(append(b, n.what...), n.kind...)
	sum := fnv.New64a()
	sum.Write(b)
	r.bytes, r.digest = b, sum.Sum64()
}

func (r *record) String() string {
	var b strings.Builder
	for i := max(0, r.count-recordLength); i < r.count; i++ {
		b.WriteString(r.last[i%recordLength].String())
		b.WriteByte('\n')
	}
	return b.String()
}

// Digest sums up everything that has happened on the ring: two runs with the same seed and the
// same caller have the same.
func (r *Ring) Digest() uint64 {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.record.digest
}
