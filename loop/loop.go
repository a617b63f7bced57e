// Package loop is the heart of the runtime: one Loop per core owns a ring, the connections that were
// accepted on it, and one isolate for each app that lives there. A request whose app lives elsewhere
// takes its connection along to that loop before it begins; from then on it stays where it is, so
// nothing on its way takes a lock.
//
// To follow a request, read in this order: loop.go (the tick), listen.go and accept.go, connection.go
// (operations and their completions), receive.go (heads and bodies), route.go, exchange.go (one
// request and its answer), worker.go (the turn of an isolate), respond.go. shard.go tells how apps wake
// up and fall asleep, budget.go and pressure.go who has to make room for others, accounting.go
// what becomes known of all this.
//
// What goes out: flow.go tells how bytes go from one to another, bodies.go how those of clients and
// isolates do, handles.go what isolates have opened. endpoint.go has the sockets that we open, dial.go and
// resolve.go tell how they are connected, tls.go how TLS is spoken on them. A sub-request goes through
// subrequest.go (one fetch and its response), redirect.go, origin.go (connections that are kept),
// originconnection.go (HTTP/1.1 on one of them) or http2.go, proxy.go and decode.go; one app's call of another
// through service.go and, if that lives on another loop, tunnel.go. tcp.go is connect() of apps. A WebSocket begins
// in upgrade.go or, as a client, in websocketclient.go, and goes on in websocket.go. static.go answers with
// files, which readfile.go reads; assets.go is env.ASSETS. cron.go fires triggers.
//
// Apps come and go while all that goes on: catalog.go has the apps and the routes to them, change.go tells the loops of
// changes, removal.go how one is taken out, and nodeapps.go is what others call; probe.go is a request of the node
// itself. handover.go gives the listening sockets to another process.
//
// Beside that way lie timeouts.go and timers.go, drain.go, accesslog.go, stats.go, usage.go and buffers.go. node.go puts
// several loops together into a server: placement.go says which of them serve an app, load.go changes that by
// load and slowlane.go by what an app does to others, move.go takes connections there.
package loop

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"time"

	"nano/http1"
	"nano/isolates"
	"nano/uring"
)

// never is the deadline of what has none, on the loop's clock.
const never = math.MaxInt64

// A Loop serves connections from one locked OS thread. Only Drain and Stats may be called from
// elsewhere.
type Loop struct {
	seat    int // among the node's loops
	options *Options
	shard   Shard // nil: there are no apps
	ring    uring.Ring
	waker   *uring.Waker
	mailbox *uring.Mailbox[message]

	// Time is read once per tick. now counts nanoseconds from epoch, on the monotonic clock;
	// wallClock counts them from 1970.
	epoch     time.Time
	now       int64
	wallClock int64
	// lastLook is when the clock was last read in this tick, on the loop's clock: what takes long, such as the turn
	// of an isolate, reads it at its end.
	lastLook int64

	flowed          int // bytes of bodies in this tick
	ticksSinceYield int
	movedAtYield    uint64 // bytes received and sent before the last one
	yieldedAt       int64

	completions []uring.Completion // the queue of this tick

	listeners   []listener
	accepting   accepting
	connections connections
	exchanges   exchanges
	endpoints   endpoints
	origins     origins
	sockets     webSockets
	handles     handles
	files       files
	cron        cronState
	apps        []*appWorker // by id; nil: there is none, or it was never met here
	leaving     []*appWorker // to be removed
	lives       uint32       // isolates made so far
	timeouts    timeouts
	timers      timers
	buffers     buffers
	pipes       pipes

	// Who has to be looked at in the course of a tick.
	ready      []*connection // their buffered input may be gone on with
	starved    []*connection // they found no provided buffer
	outgoing   []*connection // they have output
	postponed  []*connection // a large send of each waits for the next tick
	largeSends int           // bytes of large sends in this tick
	piped      []*connection // what a pipe holds is to be sent to each of them
	runnable   []*appWorker  // they have work for their isolate
	running    []*appWorker  // the same, while turns are taken
	shardState
	dialState
	tlsState
	portion *portion  // of the budget of memory
	reports []*report // to be filled
	visits  []*visit  // to be done, see profile.go
	graves  graves    // of apps that were removed

	pendingWork   int // requests that are answered but whose waitUntil work goes on
	tunnels       int // halves of service calls between loops
	called        int // exchanges without a connection whose callers wait for the answer, or its end
	draining      bool
	drainDeadline int64
	forced        bool // the deadline has passed
	operations    int  // in flight, of those that belong to no connection and no endpoint
	wakeArmed     bool
	givesWay      bool // see Options.GiveWay
	pace          pace

	// Scratch, to be used again and again.
	head         *http1.Head
	heads        spares[http1.Head]
	collectors   spares[collector]
	incomings    spares[incoming]
	calls        spares[serviceCall]
	request      isolates.Request
	response     isolates.Response
	responseHead http1.ResponseHead
	scratch      []byte
	traces       spares[trace]
	traceScratch []byte
	traceRandom  *rand.PCG
	spans        *spanLog // nil: Options.Tracing is
	dateText     []byte
	dateSecond   int64

	place
	routing

	log   *accessLog // nil: off
	entry LogEntry   // reused for each line

	// For Options.Developer.
	uncaught  DevFailure // the record before was about it
	events    []*eventSource
	requests  uint64 // that were given an id
	stats     Stats
	published published
}

// message is what other goroutines and loops say to a loop.
type message struct {
	kind       messageKind
	app        *sharedApp      // of messageRetire and messageReady
	connection moved           // of messageConnection
	report     *report         // of messageReport
	wire       wire            // of messageWire
	resolved   *systemLookup   // of messageResolved
	secure     *tlsConnection  // of messageSecure
	file       lookedAt        // of messageFile
	firing     *firing         // of messageFiring
	work       *hostWork       // of messageWork
	change     *change         // of messageChange
	status     chan<- Stats    // of messageStatus, with room for it
	visit      *visit          // of messageVisit
	done       chan<- struct{} // of messageGiveBack, with room for it
}

type messageKind uint8

const (
	messageDrain      messageKind = iota + 1
	messageConnection             // another loop hands a connection over
	messageSlowReady              // the slow loop beside this one has begun
	messageRetire                 // app is served elsewhere now
	messageReady                  // what app is started from is there, or it is known why not
	messageRoom                   // look at the budget of memory
	messageReport                 // fill a report
	messageWire                   // of the other half of a service call
	messageResolved               // the system's resolver has answered
	messageSecure                 // a TLS handshake has moved on
	messageFile                   // somebody has looked for a static file
	messageFiring                 // a cron trigger is due
	messageWork                   // what Go has computed for an app
	messageStatus                 // tell that mail is read
	messageVisit                  // something is to be done with an app's isolate
	messageChange                 // apps or routes come or go
	messageGiveBack               // free what is kept for later
)

// completionsPerReap is how many completions are copied out of the ring at once.
const completionsPerReap = 256

// New makes a loop over ring, which serves the sockets. It must be called on the thread that will
// call Run, and that made the ring. The loop owns the sockets from here on, and the ring until Run
// returns, which stops it. seat counts the loops that share options.
func New(seat int, options *Options, ring uring.Ring, sockets []Socket) (*Loop, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	waker, err := uring.NewWaker()
	if err != nil {
		return nil, err
	}
	l := &Loop{
		seat:        seat,
		options:     options,
		ring:        ring,
		waker:       waker,
		mailbox:     uring.NewMailbox[message](waker),
		epoch:       options.epoch,
		completions: make([]uring.Completion, 0, completionsPerReap),
		timeouts:    newTimeouts(options),
		timers:      newTimers(),
		handles:     newHandles(),
		files:       files{waits: map[*fileEntry][]fileWaiter{}},
		routing:     routing{random: rand.NewPCG(options.seed, uint64(seat))},
		traceRandom: rand.NewPCG(options.seed, ^uint64(seat)),
		spans:       options.Tracing.newLog(),
		head:        new(http1.Head),
	}
	if options.NewShard != nil {
		if l.shard, err = options.NewShard(seat, waker.FD()); err != nil {
			return nil, errors.Join(err, waker.Close())
		}
		l.wantsPrepare = true
	}
	l.portion = options.memory.join(l)
	for _, socket := range sockets {
		l.listeners = append(l.listeners, listener{index: uint32(len(l.listeners)), fd: socket.FD, secure: socket.Secure, isOpen: true})
	}
	if len(sockets) != 0 {
		options.listening.Add(1)
	}
	options.catalog.join(l)
	if options.AccessLog != nil {
		l.log = newAccessLog(options)
	}
	return l, nil
}

// Run serves until the loop has drained (see Drain), or the ring fails. Its waker stays open, for others
// may still be about to wake it: Close follows when they have ended, too.
func (l *Loop) Run() error {
	l.giveWay(true)
	l.readTime()
	l.armWake()
	for i := range l.listeners {
		l.accept(&l.listeners[i])
	}
	for !l.isDrained() || l.closeMailbox() {
		err := l.tick()
		if err == nil {
			err = l.yield()
		}
		if err != nil {
			l.listenersClosed() // not quite, but others must not wait for it
			return fmt.Errorf("loop: %w", err)
		}
	}
	return l.end()
}

// yield lets Go's scheduler see a busy loop as one that plays fair. Nothing else runs on its thread,
// but a goroutine that never yields for 10 ms loses its processor to the scheduler's monitor at
// each system call from then on, and the monitor, which would rest, keeps looking every 20 µs: it
// takes up to a fifth of a core that it shares with the loop. A yield costs some 20 µs, and milliseconds while
// others want the core: a loop that has had nothing to do yields earlier, so that the request that comes after
// a while does not wait for that.
func (l *Loop) yield() error {
	l.ticksSinceYield++
	moved, since := l.stats.BytesIn+l.stats.BytesOut, l.now-l.yieldedAt
	isDue := since >= yieldInterval && (l.ticksSinceYield >= yieldTicks || moved-l.movedAtYield >= yieldBytes)
	if !isDue && !(l.isResting && since >= restingYieldInterval) {
		return nil
	}
	l.ticksSinceYield, l.yieldedAt, l.movedAtYield = 0, l.now, moved
	// What the tick has to send need not wait for it either.
	if err := l.ring.Enter(false, 0); err != nil {
		return err
	}
	runtime.Gosched()
	return nil
}

// How seldom a loop yields at the most: before the scheduler's 10 ms have passed, but not for the
// few ticks of a loop that mostly sleeps. One under load has some 25 ticks in the interval, or, as each of
// them may move many megabytes, a few.
const (
	yieldInterval        = 5 * int64(time.Millisecond)
	restingYieldInterval = yieldInterval / 2
	yieldTicks           = 8
	yieldBytes           = 8 << 20
)

// tick is one round of the loop. Its phases, in order:
//
//  1. Wait: submit the operations queued in the last tick; if there is nothing else to do, sleep
//     until a completion comes or the earliest deadline of all time-outs and timers.
//  2. Reap: copy all completions out of the ring. None is handled before all are there, and no
//     handler waits for or looks at others: nothing recurses.
//  3. Connections and HTTP: accepted clients, received bytes, finished sends, of clients and of sockets
//     that we opened. Heads are parsed where they were received, requests routed, and what apps are to hear of
//     is staged with their isolates.
//  4. Mail and time: what other loops and goroutines have posted is read, timers that are due are staged with their
//     isolates, time-outs act.
//  5. Turns: each isolate with work takes one; the records that come out become responses, chunks,
//     sub-requests, timers and log lines at once, since they are views of the isolate's memory. What would
//     have come back into whoever caused it is told then: WebSockets to be closed, dials that have failed.
//  6. Sends: what lies in pipes is sent, and each connection and endpoint with output and no send in flight queues one.
//  7. Notes: counters, the access log and ten times a second the load are shown to others.
//  8. Shard: apps are evicted for the budget of memory; one app is started for which requests wait, after
//     what has been queued was submitted; and if the tick had nothing to do, one piece of the work is
//     done that has no hurry (shard.go).
//
// What a phase queues on the ring goes to the kernel with the wait of the next tick, in one call.
func (l *Loop) tick() error {
	// 1. Wait
	if err := l.wait(); err != nil {
		return err
	}

	// 2. Reap
	l.reap()

	// 3. Connections and HTTP
	isResting := len(l.completions) == 0 && l.mailbox.Empty()
	l.flowed, l.pipes.spliced = 0, 0
	l.sendPostponed()
	l.feedReady() // first, so that bodies that had to wait do not wait for those that come in now
	for i := range l.completions {
		l.handle(&l.completions[i])
	}
	l.completions = l.completions[:0]
	l.feedReady()
	l.feedStarved()
	l.feedStarvedEndpoints()

	// 4. Mail and time
	l.readMail()
	l.fireTimers()
	l.expireTimeouts()
	l.expireLoopDeadlines()

	// 5. Turns
	if l.hasMessages {
		if err := l.sendMessages(); err != nil {
			return err
		}
	}
	if len(l.runnable)+len(l.unfinished) != 0 {
		isResting = false
		l.takeTurns()
	}
	l.answerCloses()
	l.tellDialers()

	// 6. Sends
	l.sendPipes()
	for i := 0; i < len(l.outgoing); i++ { // a send may make room for what becomes output of another
		c := l.outgoing[i]
		l.outgoing[i] = nil
		l.send(c)
	}
	l.outgoing = l.outgoing[:0]
	l.sendEndpoints()

	// 7. Notes
	if l.now >= l.meter.end {
		l.takeStock()
	}
	l.stats.Ticks++
	l.stats.Connections = uint64(l.connections.open + l.sockets.adopted)
	l.published.publish(&l.stats)
	if l.log != nil {
		l.handOverDue()
	}

	// 8. Shard
	l.isResting = isResting
	return l.tendShard()
}

// wait submits, and sleeps if nothing is left to do. Waking up costs other threads a system call
// only while the loop says that it sleeps.
func (l *Loop) wait() error {
	if l.isBusy() || l.isResting && l.hasIdleWork() {
		begun := l.now
		err := l.ring.Enter(false, 0)
		l.readTime()
		l.stats.noteTick(l.now - begun)
		return err
	}
	timeout := time.Duration(-1)
	if deadline := l.nextDeadline(); deadline != never {
		// How long this tick took matters to near deadlines only; most are seconds away.
		now := l.now
		if deadline-now < nearDeadline {
			now = l.readClock()
		}
		timeout = time.Duration(max(deadline-now, 0))
	}
	if l.hasIdleWork() && (timeout < 0 || timeout > idlePause) {
		timeout = idlePause
	}
	if l.log != nil {
		timeout = l.log.limit(timeout, l.now)
	}
	l.stats.noteTick(l.lastLook - l.now)
	l.waker.Sleep()
	if !l.mailbox.Empty() {
		timeout = 0
	}
	l.giveWay(false)
	err := l.ring.Enter(true, timeout)
	l.waker.Awake()
	l.giveWay(true)
	l.readTime()
	return err
}

// giveWay says that a slow loop works from now on, or is about to wait.
func (l *Loop) giveWay(works bool) {
	if l.givesWay {
		l.options.GiveWay(works)
	}
}

// isBusy reports whether there is more to do at once.
func (l *Loop) isBusy() bool {
	work := len(l.runnable) + len(l.unfinished) + len(l.waking)
	output := len(l.outgoing) + len(l.postponed) + len(l.piped) + len(l.endpoints.outgoing)
	return work+output+len(l.ready)+len(l.dialsFailed)+len(l.reports)+len(l.visits) != 0 || l.wantsRoom
}

// nearDeadline is how near a deadline must be for the clock to be read once more before sleeping.
const nearDeadline = int64(100 * time.Millisecond)

// nextDeadline is when the loop has to be awake again, or never.
func (l *Loop) nextDeadline() int64 {
	deadline := min(l.timeouts.next(), l.timers.next(), l.accepting.pausedUntil(), l.nextReview(), l.cron.lookAt)
	if l.draining && !l.forced {
		deadline = min(deadline, l.drainDeadline)
	}
	return deadline
}

// reap copies all completions out of the ring.
func (l *Loop) reap() {
	for {
		have := len(l.completions)
		if cap(l.completions)-have < completionsPerReap {
			l.completions = append(l.completions, make([]uring.Completion, completionsPerReap)...)[:have]
		}
		n := l.ring.Reap(l.completions[have:cap(l.completions)])
		l.completions = l.completions[:have+n]
		if n < cap(l.completions)-have {
			l.stats.noteBatch(len(l.completions))
			return
		}
	}
}

// handle sends a completion to what it belongs to.
func (l *Loop) handle(completion *uring.Completion) {
	kind, generation, index := completion.UserData.Unpack()
	switch kind {
	case opReceive, opSend, opShutdown, opCancel, opClose:
		l.completed(kind, generation, index, completion)
	case opAccept:
		l.accepted(&l.listeners[index], completion)
	case opWake:
		l.pumpTasks()
		l.armWake()
	case opCancelAccept, opCloseListener, opCloseRefused:
		l.operations--
	case opFileRead:
		l.fileRead(index, completion.Result)
	case opMail: // it only wakes
	case opMessage:
		l.messageFailed(index)
	default:
		if kind > opEndpoint {
			l.endpointCompleted(kind, generation, index, completion)
			return
		}
		panic(fmt.Sprintf("loop: completion of unknown kind %d", kind))
	}
}

func (l *Loop) armWake() {
	l.wakeArmed = true
	l.waker.Arm(l.ring, uring.Pack(opWake, 0, 0))
}

// feedReady goes on with the buffered input of connections for which an answer has made room.
func (l *Loop) feedReady() {
	// What becomes ready meanwhile waits for the next tick: answers have to go out in between.
	n := len(l.ready)
	for i := 0; i < n; i++ {
		c := l.ready[i]
		l.ready[i] = nil
		l.consumeBuffered(c)
	}
	l.ready = l.ready[:copy(l.ready, l.ready[n:])]
}

// readMail takes what other goroutines have posted.
func (l *Loop) readMail() {
	if l.mailbox.Empty() {
		return
	}
	mail := l.mailbox.Take()
	for i := range mail {
		m := &mail[i]
		switch m.kind {
		case messageDrain:
			l.startDrain()
		case messageConnection:
			l.adopt(&m.connection)
		case messageSlowReady:
			l.slowReady()
		case messageRetire:
			if w := l.workerOf(m.app); w != nil {
				l.retire(w)
			}
		case messageReady:
			l.becomeReady(m.app)
		case messageRoom:
			l.portion.isAsked.Store(false) // keepBudget comes in every tick
		case messageReport:
			l.reports = append(l.reports, m.report)
		case messageWire:
			l.receiveWire(&m.wire)
		case messageResolved:
			l.systemAnswered(m.resolved)
		case messageSecure:
			l.secureMoved(m.secure)
		case messageFile:
			l.fileLooked(m.file)
		case messageFiring:
			l.takeFiring(m.firing)
		case messageWork:
			l.workDone(m.work)
		case messageStatus:
			m.status <- l.stats
		case messageVisit:
			l.takeVisit(m.visit)
		case messageChange:
			l.apply(m.change)
		case messageGiveBack:
			l.giveBack()
			m.done <- struct{}{}
		}
	}
}

// expireLoopDeadlines acts on the deadlines that the loop has only one of.
func (l *Loop) expireLoopDeadlines() {
	if l.accepting.pausedUntil() <= l.now {
		l.acceptAgain()
	}
	if l.cron.lookAt <= l.now {
		l.lookAtCron()
	}
	if l.reviewSlowedAt <= l.now {
		l.reviewSlowed()
	}
	if l.draining && !l.forced && l.drainDeadline <= l.now {
		l.forceDrain()
	}
}

// readTime reads the clock for this tick.
func (l *Loop) readTime() {
	t := l.options.Clock()
	l.now = int64(t.Sub(l.epoch))
	l.lastLook = l.now
	l.wallClock = t.UnixNano()
}

// readClock reads the clock now, for what must not be taken as earlier than it is.
func (l *Loop) readClock() int64 {
	l.lastLook = int64(l.options.Clock().Sub(l.epoch))
	return l.lastLook
}
