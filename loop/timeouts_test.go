package loop

import (
	"math/rand/v2"
	"testing"
)

// TestTimeoutList moves nodes between two lists and compares with what their deadlines must be.
func TestTimeoutList(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	lists := []*timeoutList{{duration: 10}, {duration: 100}}
	nodes := make([]timeoutNode, 20)
	deadlines := map[*timeoutNode]int64{}
	now := int64(0)
	for range 20000 {
		node := &nodes[random.IntN(len(nodes))]
		switch random.IntN(4) {
		case 0:
			node.stop()
			delete(deadlines, node)
		case 1:
			now += int64(random.IntN(4))
			for _, list := range lists {
				for due := list.expired(now); due != nil; due = list.expired(now) {
					if deadlines[due] > now || deadlines[due] == 0 {
						t.Fatalf("expired at %d, deadline %d", now, deadlines[due])
					}
					delete(deadlines, due)
				}
			}
			for waiting, deadline := range deadlines {
				if deadline <= now {
					t.Fatalf("%p did not expire at %d, deadline %d", waiting, now, deadline)
				}
			}
		default:
			list := lists[random.IntN(2)]
			list.start(node, now)
			deadlines[node] = now + list.duration
		}
		count := 0
		for _, list := range lists {
			var last *timeoutNode
			for each := list.first; each != nil; each = each.next {
				if each.previous != last || each.list != list || each.deadline != deadlines[each] {
					t.Fatal("list broken")
				}
				last, count = each, count+1
			}
			if list.last != last {
				t.Fatal("end of list broken")
			}
		}
		if count != len(deadlines) {
			t.Fatalf("%d nodes wait, want %d", count, len(deadlines))
		}
	}
}
