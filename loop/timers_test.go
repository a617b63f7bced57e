package loop

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestTimersOrder compares the heap with a sorted list, over random sets, clears and expirations.
func TestTimersOrder(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 0))
		timers := newTimers()
		workers := []*appWorker{{life: 1}, {life: 2}, {life: 3}}
		var model []timer
		now := int64(0)
		for range 2000 {
			worker := workers[random.IntN(3)]
			key := timerKey{worker.life, uint32(random.IntN(100))}
			switch random.IntN(10) {
			case 0, 1:
				timers.clear(key)
				model = slices.DeleteFunc(model, func(m timer) bool { return m.key == key })
			case 2:
				now += int64(random.IntN(50))
				for {
					due, ok := timers.expired(now)
					if !ok {
						break
					}
					if len(model) == 0 || model[0].key != due.key || model[0].deadline != due.deadline {
						t.Fatalf("seed %d: %+v fired, want the first of %+v", seed, due, model)
					}
					model = model[1:]
				}
				if len(model) != 0 && model[0].deadline <= now {
					t.Fatalf("seed %d: %+v did not fire at %d", seed, model[0], now)
				}
			case 3:
				if random.IntN(20) == 0 {
					timers.clearWorker(worker.life)
					model = slices.DeleteFunc(model, func(m timer) bool { return m.key.life == worker.life })
				}
			default:
				deadline := now + int64(random.IntN(100))
				timers.set(worker, key.id, deadline)
				model = slices.DeleteFunc(model, func(m timer) bool { return m.key == key })
				model = append(model, timer{deadline: deadline, key: key})
				slices.SortStableFunc(model, func(a, b timer) int { return cmp.Compare(a.deadline, b.deadline) })
			}
			if len(model) != len(timers.heap) || len(model) != len(timers.byKey) {
				t.Fatalf("seed %d: %d timers in the heap, %d in the table, want %d", seed, len(timers.heap), len(timers.byKey), len(model))
			}
			if len(model) != 0 && timers.next() != model[0].deadline {
				t.Fatalf("seed %d: next is %d, want %d", seed, timers.next(), model[0].deadline)
			}
		}
	}
}

// TestTimersDoNotAllocate: setting and clearing leaves nothing behind, however often.
func TestTimersDoNotAllocate(t *testing.T) {
	timers := newTimers()
	worker := &appWorker{life: 1}
	id := uint32(0)
	if n := testing.AllocsPerRun(10000, func() {
		id++
		timers.set(worker, id, int64(id%7))
		timers.clear(timerKey{1, id})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if len(timers.heap)+len(timers.byKey) != 0 {
		t.Error("timers are left over")
	}
}
