package admin

import (
	"time"

	"nano/control"
	"nano/isolates"
	"nano/loop"
)

// What is sent, as JSON: names in snake_case, times in seconds, sizes in bytes. The commands of cmd/nano read
// the same types.

// AppList is the answer of GET /v1/apps.
type AppList struct {
	Apps []App `json:"apps"`
}

// App is one app.
type App struct {
	Name     string    `json:"name"`
	Hosts    []string  `json:"hosts"` // none: every host that no other app names
	Path     string    `json:"path"`
	State    string    `json:"state"`             // "warm", "asleep", "failed"
	Problem  string    `json:"problem,omitempty"` // why it failed, or why its newest version does not serve
	Uploaded bool      `json:"uploaded"`          // nano.toml does not have it
	Versions []Version `json:"versions"`          // the newest first
	Stats    Stats     `json:"stats"`
	Details  *Details  `json:"details,omitempty"` // of GET /v1/apps/NAME
}

// Version is one version of an app.
type Version struct {
	ID      string    `json:"id"`
	Number  int       `json:"number"`
	Created time.Time `json:"created"`
	From    string    `json:"from"`   // "file", "upload"
	Weight  int       `json:"weight"` // of the requests that it gets; 0: it is only kept
}

// Stats are the accounts of an app that a list shows.
type Stats struct {
	Requests    uint64  `json:"requests"`
	Errors      uint64  `json:"errors"` // requests that came to nothing, whatever the cause
	Answered    uint64  `json:"answered"`
	AnswerTime  float64 `json:"answer_seconds"` // until the heads of the answers, together
	CPU         float64 `json:"cpu_seconds"`
	InHand      int     `json:"in_hand"`
	Warm        int     `json:"warm"` // isolates
	Resident    int64   `json:"resident_bytes"`
	Subrequests uint64  `json:"subrequests"`
}

// Details are all further accounts of an app.
type Details struct {
	Responses      map[string]uint64 `json:"responses"` // by class of status; "none": the client was gone
	Errors         map[string]uint64 `json:"errors"`    // by kind
	EgressRefusals uint64            `json:"egress_refusals"`
	Starts         map[string]Starts `json:"starts"` // by "snapshot", "cache", "source"
	Ends           map[string]uint64 `json:"ends"`   // of isolates, by reason
	Latency        []Bucket          `json:"latency"`
	Heap           Heap              `json:"heap"`
}

// Starts are starts of isolates.
type Starts struct {
	Count uint64  `json:"count"`
	Total float64 `json:"total_seconds"`
	Max   float64 `json:"max_seconds"`
}

// Bucket is how many answers took at most LE seconds and are in no bucket before; of the last one, LE is 0 and
// there is no bound.
type Bucket struct {
	LE    float64 `json:"le_seconds,omitempty"`
	Count uint64  `json:"count"`
}

// Heap is what an app's isolates hold.
type Heap struct {
	Used      int64            `json:"used_bytes"`
	Committed int64            `json:"committed_bytes"`
	External  int64            `json:"external_bytes"`
	Malloced  int64            `json:"malloced_bytes"`
	Spaces    map[string]int64 `json:"spaces"` // used bytes by V8 space
}

func versionOf(v control.Version) Version {
	return Version{v.ID, v.Number, v.Created, v.From, v.Weight}
}

func appOf(app *control.App, detailed bool) App {
	s := &app.Stats
	answer := App{
		Name: app.Name, Hosts: append([]string{}, app.Hosts...), Path: app.Path, State: app.State, Problem: app.Problem,
		Uploaded: app.Uploaded, Versions: make([]Version, len(app.Versions)),
		Stats: Stats{
			Requests: s.Requests, Errors: s.Errors(), Answered: s.Latency.Count(), AnswerTime: s.Latency.Total.Seconds(),
			CPU: s.CPU.Seconds(), InHand: s.InHand, Warm: s.Warm, Resident: s.Resident, Subrequests: s.Subrequests,
		},
	}
	for i, version := range app.Versions {
		answer.Versions[i] = versionOf(version)
	}
	if detailed {
		answer.Details = detailsOf(s)
	}
	return answer
}

func detailsOf(s *loop.AppStats) *Details {
	d := &Details{
		Responses: map[string]uint64{}, EgressRefusals: s.EgressRefusals, Starts: map[string]Starts{},
		Errors: map[string]uint64{
			"uncaught": s.Uncaught, "cpu_limit": s.CPULimit, "memory_limit": s.MemoryLimit, "wall_limit": s.WallLimit,
			"body_limit": s.BodyLimit, "concurrency_limit": s.ConcurrencyLimit, "overload": s.Overload,
			"start": s.StartFailures, "isolate": s.Failures,
		},
		Ends: map[string]uint64{
			"idle": s.Sleeps, "memory": s.Evictions, "pressure": s.PressureEvictions, "moved": s.Retirements, "died": s.Deaths,
		},
		Heap: Heap{External: s.Heap.External, Malloced: s.Heap.Malloced, Spaces: map[string]int64{}},
	}
	for class, count := range s.Answers {
		d.Responses[[...]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}[class]] = count
	}
	for i, starts := range s.Starts {
		d.Starts[loop.StartKinds[i]] = Starts{starts.Count, starts.Total.Seconds(), starts.Max.Seconds()}
	}
	for i, count := range s.Latency.Buckets {
		bucket := Bucket{Count: count}
		if i < len(loop.LatencyBounds) {
			bucket.LE = loop.LatencyBounds[i].Seconds()
		}
		d.Latency = append(d.Latency, bucket)
	}
	for i, space := range s.Heap.Spaces {
		d.Heap.Used += space.Used
		d.Heap.Committed += space.Committed
		if space.Committed != 0 {
			d.Heap.Spaces[isolates.HeapSpaceNames[i]] = space.Used
		}
	}
	return d
}

// Report is the answer of POST /v1/reload.
type Report struct {
	Changes  []Change `json:"changes"`
	Same     int      `json:"unchanged"` // apps that did not change
	Warnings []string `json:"warnings"`  // keys that need a restart
	Duration float64  `json:"duration_seconds"`
}

// Change is what a reload did to an app.
type Change struct {
	App    string `json:"app"`
	Action string `json:"action"` // "replaced", "moved", "added", "removed", "failed"
	Reason string `json:"reason,omitempty"`
}

func reportOf(r *control.Report) Report {
	answer := Report{Changes: []Change{}, Same: r.Same, Warnings: append([]string{}, r.Warnings...), Duration: r.Duration.Seconds()}
	for _, change := range r.Changes {
		answer.Changes = append(answer.Changes, Change{change.App, change.Action, change.Reason})
	}
	return answer
}

// LoopList is the answer of GET /v1/loops.
type LoopList struct {
	Loops []Loop `json:"loops"`
}

// Loop is how one loop does; counters since its start.
type Loop struct {
	Loop        int      `json:"loop"`
	Lane        string   `json:"lane"` // "normal", "slow"
	Responsive  bool     `json:"responsive"`
	HasEnded    bool     `json:"has_ended"`
	Busy        float64  `json:"busy_ratio"` // of its time, lately
	Connections uint64   `json:"connections"`
	Accepted    uint64   `json:"accepted"`
	Closed      uint64   `json:"closed"`
	Refused     uint64   `json:"refused"`
	Moved       uint64   `json:"moved"`
	Requests    uint64   `json:"requests"`
	Rejected    uint64   `json:"rejected"`
	Errors      uint64   `json:"server_errors"`
	BytesIn     uint64   `json:"received_bytes"`
	BytesOut    uint64   `json:"sent_bytes"`
	Ticks       uint64   `json:"ticks"`
	Turns       uint64   `json:"turns"`
	Completions uint64   `json:"completions"`
	Batches     []uint64 `json:"batches"` // ticks by completions: 1, 2 to 3, 4 to 7 and so on
	Starved     uint64   `json:"buffers_exhausted"`
	Stalls      uint64   `json:"stalls"`
	StallTime   float64  `json:"stall_seconds"`
	LongestTick float64  `json:"longest_tick_seconds"`
	Replaced    uint64   `json:"isolates_replaced"`
	Slowed      uint64   `json:"apps_slowed"`
	LogDropped  uint64   `json:"access_lines_dropped"`
	Stray       uint64   `json:"stray_records"`
}

func loopOf(status *loop.LoopStatus) Loop {
	s := &status.Stats
	lane := "normal"
	if status.IsSlow {
		lane = "slow"
	}
	return Loop{
		Loop: status.Loop, Lane: lane, Responsive: status.Responsive, HasEnded: status.HasEnded, Busy: float64(status.Busy) / 1000,
		Connections: s.Connections, Accepted: s.Accepted, Closed: s.Closed, Refused: s.Refused, Moved: s.Moved,
		Requests: s.Requests, Rejected: s.Rejected, Errors: s.Errors, BytesIn: s.BytesIn, BytesOut: s.BytesOut,
		Ticks: s.Ticks, Turns: s.Turns, Completions: s.Completions, Batches: append([]uint64{}, s.Batches[:]...),
		Starved: s.Starved, Stalls: s.Stalls, StallTime: time.Duration(s.StallTime).Seconds(),
		LongestTick: time.Duration(s.LongestTick).Seconds(), Replaced: s.Replaced, Slowed: s.Slowed,
		LogDropped: s.LogDropped, Stray: s.StrayRecords,
	}
}
