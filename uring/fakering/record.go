package fakering

import (
	"fmt"
	"hash/fnv"
	"strings"
	"time"
)

// recordLength is how many events a failure shows.
const recordLength = 40

// record keeps the last events for a failure's report, and a digest of all for comparing runs.
type record struct {
	last   [recordLength]string
	count  int
	digest uint64
}

func (r *record) note(now time.Time, what string, op *operation, result int32, flags uint32) {
	line := fmt.Sprintf("%s %s", now.Format("15:04:05.000000000"), what)
	if op != nil {
		line += " " + op.String()
	}
	line += fmt.Sprintf(" %d %#x", result, flags)
	r.last[r.count%recordLength] = line
	r.count++
	sum := fnv.New64a()
	fmt.Fprintf(sum, "%d%s", r.digest, line)
	r.digest = sum.Sum64()
}

func (r *record) String() string {
	var b strings.Builder
	for i := max(0, r.count-recordLength); i < r.count; i++ {
		b.WriteString(r.last[i%recordLength])
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
