package isolates

import (
	"fmt"
	"slices"
	"time"

	"nano/isolates/shim"
)

// contexts gives each request of an isolate a context of its own, and keeps apart what the loop sees
// as one: ids of requests are the loop's and unlike each other, but ids of timers are each context's.
type contexts struct {
	isolate *Isolate
	ready   []*requestContext // started, not used so far
	byRealm map[uint32]*requestContext
	byID    map[uint32]*requestContext // at work, by the id of the request
	staged  []*requestContext          // with records for the next turn
	ended   []*requestContext          // to be dropped before the next turn
	timers  map[uint32]contextTimer    // by the id that the loop knows
	timer   uint32                     // the id given out last
	cleared []uint32                   // timers of ended contexts, which the loop is to forget
	handles map[int32]contextHandle    // what they have opened
	aborted []int32                    // handles of ended contexts, which the loop is to close
	starts  int                        // contexts made in this V8 isolate
	dropped int                        // since garbage was collected last
}

// contextTimer is a timer as its context knows it.
type contextTimer struct {
	context *requestContext
	id      uint32
}

// contextHandle tells who has opened a handle, and what.
type contextHandle struct {
	context *requestContext
	what    uint8
}

// requestContext is one context, for one request.
type requestContext struct {
	realm   uint32
	request uint32
	pending bool // the request's life ends with KindSettled
	isGone  bool
	arena   arena
	timers  map[uint32]uint32 // the loop's ids of timers by the context's; nil: none so far
	handles []int32           // what it has opened
	given   []int32           // of them, those whose bytes the loop has been told to move
}

const (
	// contextsReady is how many contexts Prepare makes in advance.
	contextsReady = 3
	// contextsCollect is after how many dropped contexts Prepare collects garbage. A context is some
	// 300 KB of it.
	contextsCollect = 16
	// contextsPerIsolate is after how many contexts the V8 isolate is replaced: what a request
	// leaves in tables of the isolate, such as the registry of Symbol.for, does not grow for ever.
	contextsPerIsolate = 10_000
	// mainRealm is the context that the V8 isolate came with. V8 works in it between requests, so it
	// is never dropped; it serves the first request.
	mainRealm = 0
)

func newContexts(i *Isolate) *contexts {
	c := &contexts{isolate: i, byID: map[uint32]*requestContext{}, timers: map[uint32]contextTimer{},
		handles: map[int32]contextHandle{}}
	c.adopt()
	return c
}

// adopt takes the main context of a new V8 isolate, in which the app was started.
func (c *contexts) adopt() {
	c.byRealm = map[uint32]*requestContext{}
	c.starts, c.dropped = 1, 0
	c.ready = append(c.ready[:0], c.context(mainRealm))
}

func (c *contexts) context(realm uint32) *requestContext {
	context := &requestContext{realm: realm, arena: arena{isolate: c.isolate.isolate, realm: realm}}
	c.byRealm[realm] = context
	return context
}

// start makes one more context and starts the app in it.
func (c *contexts) start() (*requestContext, error) {
	i := c.isolate
	realm, err := i.isolate.NewRealm()
	if err != nil {
		return nil, err
	}
	if _, err := i.isolate.Start(realm, i.loaded.image, i.app.options.Name, i.app.options.EnvJSON, i.app.options.BindingsJSON); err != nil {
		i.isolate.DropRealm(realm)
		return nil, err
	}
	i.hush(i.isolate)
	c.starts++
	return c.context(realm), nil
}

func (c *contexts) addRequest(r *Request) error {
	context, err := c.enter(r.ID)
	if err != nil {
		return err
	}
	return context.arena.request(r)
}

func (c *contexts) addScheduled(id uint32, logID uint64, cron []byte, timeMS int64) error {
	context, err := c.enter(id)
	if err != nil {
		return err
	}
	return context.arena.scheduled(id, logID, cron, timeMS)
}

// enter gives a request a context, and lists that for the next turn.
func (c *contexts) enter(id uint32) (*requestContext, error) {
	if c.starts >= contextsPerIsolate {
		if err := c.renew(); err != nil {
			return nil, err
		}
	}
	var context *requestContext
	if last := len(c.ready) - 1; last >= 0 {
		context, c.ready = c.ready[last], c.ready[:last]
	} else {
		var err error
		if context, err = c.start(); err != nil {
			return nil, err
		}
	}
	context.request = id
	c.byID[id] = context
	c.stageWith(context)
	return context, nil
}

func (c *contexts) stageWith(context *requestContext) {
	if context.arena.count == 0 {
		c.staged = append(c.staged, context)
	}
}

// addShort stages a record of a request. There is none any more when its end crossed the news.
func (c *contexts) addShort(kind, id uint32) error {
	context := c.byID[id]
	if context == nil {
		return nil
	}
	c.stageWith(context)
	if kind == recordGone {
		context.isGone = true
	}
	return context.arena.short(kind, id)
}

// arenaOf is where records of a handle go, in the context that has opened it; nil: that has ended.
func (c *contexts) arenaOf(handle int32) *arena {
	var context *requestContext
	if handle < 0 {
		context = c.byID[uint32(-1-handle)]
	} else {
		context = c.handles[handle].context
	}
	if context == nil {
		return nil
	}
	c.stageWith(context)
	return &context.arena
}

// over notes that a handle has ended, or for isResponse that its response has: of a fetch that is all.
func (c *contexts) over(handle int32, isResponse bool) {
	of, ok := c.handles[handle]
	if !ok || isResponse && of.what != WhatFetch && of.what != WhatService && of.what != WhatAssets {
		return
	}
	delete(c.handles, handle)
	of.context.handles = slices.DeleteFunc(of.context.handles, func(known int32) bool { return known == handle })
}

func (c *contexts) addTimer(id uint32) error {
	timer, ok := c.timers[id]
	if !ok {
		return nil // its context has ended
	}
	delete(c.timers, id)
	delete(timer.context.timers, timer.id)
	c.stageWith(timer.context)
	return timer.context.arena.short(recordTimer, timer.id)
}

// stage lists the records for a turn, and before that drops what ended with the last one.
func (c *contexts) stage(inputs []shim.Input) []shim.Input {
	c.drop()
	for _, context := range c.staged {
		inputs = append(inputs, context.arena.staged())
	}
	return inputs
}

// taken notes what the turn has left of inputs, which stage has listed.
func (c *contexts) taken(inputs []shim.Input) {
	left := c.staged[:0]
	for k, context := range c.staged {
		context.arena.taken(inputs[k])
		if context.arena.count > 0 {
			left = append(left, context)
		}
	}
	clear(c.staged[len(left):])
	c.staged = left
}

// next gives the records of the last turn that concern requests at work, and at last the timers and
// handles that ended with theirs.
func (c *contexts) next() (*Record, bool) {
	i := c.isolate
	for len(i.out) > 0 {
		realm := i.read()
		context := c.byRealm[realm]
		if c.take(context) {
			return &i.record, true
		}
		if !i.record.Block.IsZero() {
			FreeBlock(i.record.Block)
		}
	}
	if last := len(c.cleared) - 1; last >= 0 {
		i.record = Record{Kind: KindTimerClear, ID: c.cleared[last]}
		c.cleared = c.cleared[:last]
		return &i.record, true
	}
	if last := len(c.aborted) - 1; last >= 0 {
		i.record = Record{Kind: KindCancel, Handle: c.aborted[last], Flags: CancelAll}
		c.aborted = c.aborted[:last]
		return &i.record, true
	}
	return nil, false
}

// take reads the isolate's record as one of a context. False: the loop is not to see it.
func (c *contexts) take(context *requestContext) bool {
	record := &c.isolate.record
	isAtWork := context != nil && c.byID[context.request] == context
	switch record.Kind {
	case KindLog: // also of a request that has ended, without its id
		record.Pending = record.Pending && isAtWork
		return true
	case KindTimerSet:
		if !isAtWork {
			return false
		}
		record.ID = c.setTimer(context, record.ID)
	case KindTimerClear:
		if !isAtWork {
			return false
		}
		id, ok := context.timers[record.ID]
		if !ok {
			return false
		}
		delete(context.timers, record.ID)
		delete(c.timers, id)
		record.ID = id
	case KindOpen:
		if !isAtWork {
			return false
		}
		context.giveAway(record.Source)
		c.handles[record.Handle] = contextHandle{context, record.What}
		context.handles = append(context.handles, record.Handle)
	case KindRead, KindCancel, KindWrite, KindFinish:
		return isAtWork
	case KindRespond:
		context.pending = record.Pending
		if record.Status != 101 { // of a WebSocket the messages still come here
			context.giveAway(record.Source)
		}
		if !record.Pending && (!record.Streaming || record.Source != 0) {
			c.end(context)
		}
	case KindEnd:
		if !context.pending {
			c.end(context)
		}
	case KindSettled:
		c.end(context)
	}
	return true
}

// setTimer gives a timer of a context an id that no other has.
func (c *contexts) setTimer(context *requestContext, id uint32) uint32 {
	if context.timers == nil {
		context.timers = map[uint32]uint32{}
	}
	if known, ok := context.timers[id]; ok {
		return known
	}
	for {
		if c.timer++; c.timer > 0x7fffffff {
			c.timer = 1
		}
		if _, taken := c.timers[c.timer]; !taken {
			break
		}
	}
	context.timers[id] = c.timer
	c.timers[c.timer] = contextTimer{context, id}
	return c.timer
}

// giveAway notes that the loop takes what a handle gives, and is to go on when the context has ended.
func (context *requestContext) giveAway(handle int32) {
	if handle > 0 {
		context.given = append(context.given, handle)
	}
}

// end ends the life of a context with that of its request.
func (c *contexts) end(context *requestContext) {
	delete(c.byID, context.request)
	for _, handle := range context.handles {
		delete(c.handles, handle)
		if !slices.Contains(context.given, handle) {
			c.aborted = append(c.aborted, handle)
		}
	}
	context.handles, context.given = nil, nil
	for _, id := range context.timers {
		delete(c.timers, id)
		c.cleared = append(c.cleared, id)
	}
	context.timers = nil
	c.ended = append(c.ended, context)
}

// drop lets go of the contexts that have ended.
func (c *contexts) drop() {
	for k, context := range c.ended {
		delete(c.byRealm, context.realm)
		if context.arena.count > 0 { // its last turn was cut short
			c.staged = slices.DeleteFunc(c.staged, func(staged *requestContext) bool { return staged == context })
		}
		if context.realm != mainRealm {
			c.isolate.isolate.DropRealm(context.realm)
		}
		c.ended[k] = nil
		c.dropped++
	}
	c.ended = c.ended[:0]
}

// prepare does the next of what can be done before the next request comes.
func (c *contexts) prepare() bool {
	i := c.isolate
	if i.failed != nil {
		return false
	}
	switch {
	case len(c.ended) > 0:
		c.drop()
	case c.starts >= contextsPerIsolate && len(c.byID) == 0:
		i.note(c.renew())
	case len(c.ready) < contextsReady:
		context, err := c.start()
		if err != nil {
			i.note(err)
			return false
		}
		c.ready = append(c.ready, context)
	case c.dropped >= contextsCollect:
		c.dropped = 0
		i.isolate.Collect()
		i.measure()
	default:
		return false
	}
	return true
}

// wantsPrepare reports that prepare has something to do.
func (c *contexts) wantsPrepare() bool {
	return len(c.ended) > 0 || c.starts >= contextsPerIsolate && len(c.byID) == 0 ||
		len(c.ready) < contextsReady || c.dropped >= contextsCollect
}

// renew replaces the V8 isolate, if no request is at work in it.
func (c *contexts) renew() error {
	if len(c.byID) > 0 {
		return nil
	}
	c.drop()
	i := c.isolate
	if !hasRoom(i.image.needs()) { // for two of them at once
		return fmt.Errorf("a new isolate after %d requests: %w", c.starts, ErrNoRoom)
	}
	fresh, err := i.restore()
	if err != nil {
		return fmt.Errorf("a new isolate after %d requests: %w", c.starts, err)
	}
	i.cpu += time.Duration(i.isolate.Shared.CPUNS)
	i.paused += time.Duration(i.isolate.Shared.PausedNS)
	fresh.Shared.LastHandle = i.isolate.Shared.LastHandle // the loop may still move bytes of earlier ones
	i.isolate.Dispose()
	i.isolate = fresh
	c.adopt()
	return nil
}
