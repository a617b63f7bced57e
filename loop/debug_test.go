package loop

import (
	"net/http"
	"testing"
	"time"
)

// debuggedWorker is a fakeWorker that stands still in its turns.
type debuggedWorker struct {
	*fakeWorker
	paused time.Duration
}

func (w *debuggedWorker) Paused() time.Duration { return w.paused }

// TestTimeStandsStill: a request that is paused for most of its wall limit still has all of it.
func TestTimeStandsStill(t *testing.T) {
	const pause, later = time.Second, time.Second // what a debugger takes, and then the app
	_, address := startNode(t, func(o *NodeOptions) {
		o.Options.Debugged = true
		o.Options.Wall = (pause + later) * 3 / 4
		o.Options.NewShard = shardOf(func(app int) (Worker, error) {
			worker := &debuggedWorker{fakeWorker: newFakeWorker("demo", demo(nil))}
			answer := worker.handle
			worker.handle = func(w *fakeWorker, r *fakeRequest) {
				time.Sleep(pause)
				worker.paused += pause
				answer(w, r)
			}
			return worker, nil
		})
	})
	begun := time.Now()
	response, err := http.Get("http://" + address + "/late")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 200 || time.Since(begun) < pause+later {
		t.Errorf("status %d after %v", response.StatusCode, time.Since(begun))
	}
}
