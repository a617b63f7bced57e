package loop

// spares are things that were used and can be used again, so that a request allocates nothing. What a burst
// has made beyond a limit is left to the garbage collector.
type spares[T any] []*T

// take returns one of them. nil: there is none.
func (s *spares[T]) take() *T {
	last := len(*s) - 1
	if last < 0 {
		return nil
	}
	spare := (*s)[last]
	(*s)[last] = nil
	*s = (*s)[:last]
	return spare
}

// give keeps one, which nobody uses any more, unless there are limit already.
func (s *spares[T]) give(spare *T, limit int) {
	if len(*s) < limit {
		*s = append(*s, spare)
	}
}

// sparesMax is the limit where no other one is said.
const sparesMax = 256
