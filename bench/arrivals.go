package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// arrivals is a load of requests that come when they come, whether the earlier ones are answered or
// not, as many independent visitors make them: a Poisson process. The time of a request runs from
// the moment at which it was to be sent, so that a server that stalls is charged for all that came
// meanwhile (no coordinated omission). With no Rate, every connection asks again as soon as it has
// its answer.
//
// One thread does it all, over one epoll instance.
type arrivals struct {
	Address     string
	Rate        float64 // requests per second, or 0
	Duration    time.Duration
	Connections int
	Seed        uint64
	// Next returns the request with a number, counted from 0.
	Next func(index int) []byte
	// Check returns why an answer is wrong.
	Check func(index int, r reply) error
}

// arrivalsResult is what became of a load.
type arrivalsResult struct {
	latencies
	PerSecond float64 `json:"requests_per_second"`
	Failed    int     `json:"failed"`
	Failure   string  `json:"first_failure,omitempty"`
	// Starts is how many answers came from an instance that was just started.
	Starts int `json:"starts"`
	// Queued is how many requests waited for a free connection.
	Queued int `json:"waited_for_connection"`
}

// lane is one connection of the load.
type lane struct {
	fd     int
	busy   bool
	index  int       // of the request under way
	due    time.Time // when it was to be sent
	unsent []byte
	buffer []byte
	filled int
}

// due is a request that waits for a lane.
type due struct {
	index  int
	moment time.Time
}

// arrivalsRun is a load under way.
type arrivalsRun struct {
	arrivals
	epoll   int
	lanes   []lane
	free    []int // lanes
	waiting []due
	begun   int // requests
	open    int // requests without an answer, the waiting ones included
	dead    int // lanes that cannot be connected again
	samples []time.Duration
	result  arrivalsResult
}

// arrivalsGrace is how long after the last request answers are waited for.
const arrivalsGrace = 10 * time.Second

// run makes the load.
func (a arrivals) run(ctx context.Context) (arrivalsResult, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return arrivalsResult{}, fmt.Errorf("epoll_create1: %w", err)
	}
	r := &arrivalsRun{arrivals: a, epoll: epoll, lanes: make([]lane, a.Connections)}
	defer r.close()
	for index := range r.lanes {
		if err := r.connect(index); err != nil {
			return arrivalsResult{}, err
		}
	}
	start := time.Now()
	end := start.Add(a.Duration)
	if err := r.drive(ctx, start, end); err != nil {
		return arrivalsResult{}, err
	}
	if r.open > 0 {
		r.result.Failed += r.open
		r.fail(fmt.Errorf("%d requests had no answer %s after the last one was sent", r.open, arrivalsGrace))
	}
	r.result.PerSecond = float64(len(r.samples)) / time.Since(start).Seconds()
	r.result.latencies = summarise(r.samples)
	return r.result, nil
}

// drive sends requests until end and then waits for the answers.
func (r *arrivalsRun) drive(ctx context.Context, start, end time.Time) error {
	random := rand.New(rand.NewPCG(r.Seed, 0))
	next := start
	if r.Rate == 0 {
		for len(r.free) > 0 {
			r.begin(time.Now())
		}
		next = end
	}
	events := make([]unix.EpollEvent, 256)
	for {
		now := time.Now()
		for r.Rate > 0 && !next.After(now) && next.Before(end) {
			r.begin(next)
			next = next.Add(time.Duration(random.ExpFloat64() / r.Rate * float64(time.Second)))
		}
		until := next
		if !next.Before(end) { // the last one was sent
			if now.Before(end) {
				until = end
			} else if until = end.Add(arrivalsGrace); r.open == 0 || now.After(until) {
				return ctx.Err()
			}
		}
		count, err := epollWait(r.epoll, events, time.Until(until))
		if err != nil {
			return err
		}
		answered := time.Now()
		for _, event := range events[:count] {
			r.ready(int(event.Fd), answered)
			if r.Rate == 0 && answered.Before(end) && len(r.free) > 0 {
				r.begin(answered)
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if r.dead == len(r.lanes) {
			return fmt.Errorf("the server is gone: %s", r.result.Failure)
		}
	}
}

// epollWait waits with the precision of nanoseconds.
func epollWait(epoll int, events []unix.EpollEvent, limit time.Duration) (int, error) {
	timeout := unix.NsecToTimespec(max(limit, 0).Nanoseconds())
	count, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(epoll), uintptr(unsafe.Pointer(&events[0])),
		uintptr(len(events)), uintptr(unsafe.Pointer(&timeout)), 0, 0)
	if errno == unix.EINTR {
		return 0, nil
	}
	if errno != 0 {
		return 0, fmt.Errorf("epoll_pwait2: %w", errno)
	}
	return int(count), nil
}

// connect opens a lane.
func (r *arrivalsRun) connect(index int) error {
	fd, err := connect(r.Address)
	if err != nil {
		return err
	}
	one := &r.lanes[index]
	*one = lane{fd: fd, buffer: one.buffer}
	if one.buffer == nil {
		one.buffer = make([]byte, 16<<10)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return err
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET&0xffffffff, Fd: int32(index)}
	if err := unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	r.free = append(r.free, index)
	return nil
}

func (r *arrivalsRun) close() {
	for index := range r.lanes {
		if r.lanes[index].fd > 0 {
			unix.Close(r.lanes[index].fd)
		}
	}
	unix.Close(r.epoll)
}

// begin sends the next request, or lets it wait for a lane.
func (r *arrivalsRun) begin(moment time.Time) {
	request := due{r.begun, moment}
	r.begun++
	r.open++
	if len(r.free) == 0 {
		r.result.Queued++
		r.waiting = append(r.waiting, request)
		return
	}
	r.send(request)
}

// send gives a request to the lane that has been free for longest, so that all are used.
func (r *arrivalsRun) send(request due) {
	index := r.free[0]
	r.free = slices.Delete(r.free, 0, 1)
	one := &r.lanes[index]
	one.busy, one.index, one.due = true, request.index, request.moment
	one.unsent = r.Next(request.index)
	r.write(index)
}

// write sends what a lane has not sent yet.
func (r *arrivalsRun) write(index int) {
	one := &r.lanes[index]
	for len(one.unsent) > 0 {
		written, err := unix.SendmsgN(one.fd, one.unsent, nil, nil, unix.MSG_NOSIGNAL)
		switch err {
		case nil:
			one.unsent = one.unsent[written:]
		case unix.EINTR:
		case unix.EAGAIN:
			return
		default:
			r.lost(index, fmt.Errorf("send: %w", err))
			return
		}
	}
}

// ready reads what a lane has received.
func (r *arrivalsRun) ready(index int, now time.Time) {
	one := &r.lanes[index]
	if len(one.unsent) > 0 {
		r.write(index)
	}
	for fd := one.fd; one.fd == fd; {
		if one.filled == len(one.buffer) {
			one.buffer = append(one.buffer, make([]byte, len(one.buffer))...)
		}
		count, err := unix.Read(one.fd, one.buffer[one.filled:])
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return
		case err != nil:
			r.lost(index, fmt.Errorf("receive: %w", err))
			return
		case count == 0:
			r.lost(index, errClosed)
			return
		}
		one.filled += count
		answer, size, err := parseReply(one.buffer[:one.filled])
		if err != nil {
			r.lost(index, err)
			return
		}
		if size > 0 {
			r.answer(index, answer, size, now)
		}
	}
}

// answer accounts for a reply and gives the lane its next request.
func (r *arrivalsRun) answer(index int, answer reply, size int, now time.Time) {
	one := &r.lanes[index]
	if !one.busy || size != one.filled {
		r.lost(index, errors.New("an answer that nobody asked for"))
		return
	}
	r.samples = append(r.samples, now.Sub(one.due))
	if err := r.Check(one.index, answer); err != nil {
		r.result.Failed++
		r.fail(err)
	}
	if answer.Served == 1 {
		r.result.Starts++
	}
	r.open--
	one.busy, one.filled = false, 0
	if answer.Closes {
		r.reconnect(index)
	} else {
		r.free = append(r.free, index)
	}
	r.sendWaiting()
}

// sendWaiting sends what waits for a lane, as far as lanes are free.
func (r *arrivalsRun) sendWaiting() {
	for len(r.waiting) > 0 && len(r.free) > 0 {
		request := r.waiting[0]
		r.waiting = slices.Delete(r.waiting, 0, 1)
		r.send(request)
	}
}

// lost ends a lane that failed; the request under way on it, if any, has failed. A server may close
// a connection that is not in use.
func (r *arrivalsRun) lost(index int, err error) {
	if r.lanes[index].busy {
		r.open--
		r.result.Failed++
		r.fail(err)
	} else {
		r.free = slices.DeleteFunc(r.free, func(free int) bool { return free == index })
	}
	r.reconnect(index)
	r.sendWaiting()
}

func (r *arrivalsRun) reconnect(index int) {
	unix.Close(r.lanes[index].fd)
	r.lanes[index].fd = -1
	if err := r.connect(index); err != nil {
		r.fail(err)
		r.dead++
	}
}

// fail keeps the first failure.
func (r *arrivalsRun) fail(err error) {
	if r.result.Failure == "" {
		r.result.Failure = err.Error()
	}
}
