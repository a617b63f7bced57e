package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	webSockets     = 1_000 // busy ones
	idleWebSockets = 10_000
	messageSize    = 64
	webSocketKey   = "dGhlIHNhbXBsZSBub25jZQ==" // of the handshake, RFC 6455 section 1.3
	webSocketGUID  = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
)

// webSocketMeasure is one round of echoes.
type webSocketMeasure struct {
	Messages  int64         `json:"messages"`
	PerSecond float64       `json:"messages_per_second"`
	P50       time.Duration `json:"latency_p50_ns"`
	P99       time.Duration `json:"latency_p99_ns"`
	CPU       time.Duration `json:"cpu_ns"`
	Memory    memory        `json:"memory"`
}

// webSocketResult is what a peer did: echoes on busy sockets, and the memory of idle ones.
type webSocketResult struct {
	Peer    string             `json:"peer"`
	Failure string             `json:"failure,omitempty"`
	Rounds  []webSocketMeasure `json:"rounds"`
	Idle    idleSockets        `json:"idle"`
}

// idleSockets is the memory of a server before and while it has many sockets that have each had one echo.
type idleSockets struct {
	Count   int    `json:"count"`
	Alive   int    `json:"alive"` // that gave an echo afterwards
	Before  memory `json:"before"`
	After   memory `json:"after"`
	Failure string `json:"failure,omitempty"`
}

// each is the memory that a socket takes.
func (s idleSockets) each() float64 {
	return float64(s.After.RSS-s.Before.RSS) / float64(max(s.Count, 1))
}

// perCPUSecond is the median of the messages for each second of the server's CPU.
func (r webSocketResult) perCPUSecond() float64 {
	return medianIn(r.Rounds, func(m webSocketMeasure) float64 { return float64(m.Messages) / m.CPU.Seconds() })
}

// runWebSockets loads the sockets of all peers in turn, round by round, and then counts the memory of idle ones.
func (b *bench) runWebSockets(ctx context.Context) ([]webSocketResult, error) {
	results, err := b.loadWebSockets(ctx)
	if err != nil {
		return results, err
	}
	for index, p := range b.sitePeers("websocket") {
		one := &results[index]
		if one.Failure != "" {
			continue
		}
		if err := b.measureIdleSockets(ctx, p, &one.Idle); err != nil {
			one.Idle.Failure = err.Error()
		}
		if ctx.Err() != nil {
			return results, ctx.Err()
		}
		progress("websocket %-7s %d idle sockets: %s, before them %s, %d alive %s", p.Name, one.Idle.Count, megabytes(one.Idle.After.RSS),
			megabytes(one.Idle.Before.RSS), one.Idle.Alive, one.Idle.Failure)
	}
	return results, nil
}

// loadWebSockets makes the rounds of echoes. The sockets stay open from round to round.
func (b *bench) loadWebSockets(ctx context.Context) ([]webSocketResult, error) {
	peers := b.sitePeers("websocket")
	results := make([]webSocketResult, len(peers))
	servers, loads := make([]*server, len(peers)), make([]*echoLoad, len(peers))
	for index, p := range peers {
		one := &results[index]
		one.Peer = p.Name
		running, err := b.launchSite(ctx, p, "websocket")
		if err == nil {
			defer running.stop()
			servers[index] = running
			loads[index], err = openEchoes(running.Address, webSockets)
		}
		if err == nil {
			defer loads[index].close()
			_, err = b.measureEchoes(ctx, running, loads[index], b.warmUp)
		}
		if ctx.Err() != nil {
			return results, ctx.Err()
		}
		if err != nil {
			one.Failure = err.Error()
			progress("websocket: %s: %v", p.Name, err)
		}
	}
	for round := range b.rounds {
		for index := range results {
			one := &results[index]
			if one.Failure != "" {
				continue
			}
			measured, err := b.measureEchoes(ctx, servers[index], loads[index], b.duration)
			if ctx.Err() != nil {
				return results, ctx.Err()
			}
			if err != nil {
				one.Failure = err.Error()
				progress("websocket: %s: %v", one.Peer, err)
				continue
			}
			one.Rounds = append(one.Rounds, measured)
			progress("websocket round %d/%d %-7s %8.0f messages/s, %8.0f for each second of CPU", round+1, b.rounds, one.Peer,
				measured.PerSecond, float64(measured.Messages)/measured.CPU.Seconds())
		}
	}
	return results, nil
}

// measureEchoes makes one round.
func (b *bench) measureEchoes(ctx context.Context, running *server, load *echoLoad, duration time.Duration) (result webSocketMeasure, err error) {
	before, err := readUsage(running.Process)
	if err != nil {
		return result, err
	}
	load.samples = load.samples[:0]
	start := time.Now()
	err = onCore(b.clientCore, func() error { return load.run(ctx, start.Add(duration)) })
	elapsed := time.Since(start)
	if err != nil {
		return result, fmt.Errorf("%w: %s", err, tail(running.output.String()))
	}
	after, err := readUsage(running.Process)
	if err != nil {
		return result, err
	}
	times := summarise(load.samples)
	result = webSocketMeasure{Messages: int64(len(load.samples)), PerSecond: float64(len(load.samples)) / elapsed.Seconds(),
		P50: times.P50, P99: times.P99, CPU: after.since(before).Total}
	result.Memory, err = readMemory(running.Process)
	return result, err
}

// measureIdleSockets opens sockets to a new server, reads its memory, and asks each socket for an echo.
func (b *bench) measureIdleSockets(ctx context.Context, p peer, result *idleSockets) error {
	count := idleWebSockets
	if b.quick {
		count /= 10
	}
	running, err := b.launchSite(ctx, p, "websocket")
	if err != nil {
		return err
	}
	defer running.stop()
	first, err := openEchoes(running.Address, 10)
	if err != nil {
		return err
	}
	defer first.close()
	if err := first.run(ctx, time.Now()); err != nil {
		return err
	}
	if err := running.rest(ctx); err != nil {
		return err
	}
	if result.Before, err = readMemory(running.Process); err != nil {
		return err
	}
	idle, err := openEchoes(running.Address, count)
	if err != nil {
		return fmt.Errorf("%w: %s", err, tail(running.output.String()))
	}
	defer idle.close()
	result.Count = len(idle.lanes)
	if err := idle.run(ctx, time.Now()); err != nil {
		return err
	}
	if err := running.rest(ctx); err != nil {
		return err
	}
	// Sockets that are idle are so for longer than the memory of a burst, which garbage collectors give back by and by.
	if err := wait(ctx, idleSettle); err != nil {
		return err
	}
	if result.After, err = readMemory(running.Process); err != nil {
		return err
	}
	idle.samples = nil
	err = idle.run(ctx, time.Now())
	result.Alive = len(idle.samples)
	return err
}

// echoLoad keeps WebSockets busy from one thread: each has one message under way, and sends the next one when
// the echo is there.
type echoLoad struct {
	epoll    int
	lanes    []echoLane
	message  []byte // a whole frame, masked
	want     []byte // the frame that comes back
	buffer   []byte
	samples  []time.Duration
	underWay int
}

// echoLane is one WebSocket.
type echoLane struct {
	fd   int
	got  int // bytes of the echo that have come
	sent time.Time
}

// echoTimeout is how long an echo may take.
const echoTimeout = 20 * time.Second

// openEchoes opens sockets, one after the other.
func openEchoes(address string, count int) (*echoLoad, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	text := []byte(bodyOf(messageSize-1) + "!")
	load := &echoLoad{epoll: epoll, message: clientFrame(text), want: serverFrame(text), buffer: make([]byte, 4096)}
	for index := range count {
		fd, err := openWebSocket(address)
		if err != nil {
			load.close()
			return nil, fmt.Errorf("WebSocket %d: %w", index, err)
		}
		load.lanes = append(load.lanes, echoLane{fd: fd})
		event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(index)}
		if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
			load.close()
			return nil, fmt.Errorf("epoll_ctl: %w", err)
		}
	}
	return load, nil
}

// openWebSocket connects and makes the handshake (RFC 6455 section 4), without extensions.
func openWebSocket(address string) (fd int, err error) {
	connection, err := dial(address)
	if err != nil {
		return -1, err
	}
	defer func() {
		if err != nil {
			connection.close()
		}
	}()
	request := exchange{Path: "/", Headers: []string{"Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
		"Sec-WebSocket-Key: " + webSocketKey}}
	if err := connection.send(request.bytes(address)); err != nil {
		return -1, err
	}
	head, err := connection.receiveHead()
	if err != nil {
		return -1, err
	}
	response, err := http.ReadResponse(bufio.NewReader(strings.NewReader(head)), nil)
	if err != nil {
		return -1, err
	}
	sum := sha1.Sum([]byte(webSocketKey + webSocketGUID))
	accept := base64.StdEncoding.EncodeToString(sum[:])
	if response.StatusCode != http.StatusSwitchingProtocols || response.Header.Get("Sec-WebSocket-Accept") != accept {
		return -1, fmt.Errorf("no handshake: %.300q", head)
	}
	if response.Header.Get("Sec-WebSocket-Extensions") != "" {
		return -1, errors.New("an extension that nobody asked for")
	}
	return connection.fd, unix.SetNonblock(connection.fd, true)
}

// receiveHead reads the head of a response that has no body.
func (c *client) receiveHead() (string, error) {
	for {
		if end := bytes.Index(c.buffer[:c.filled], headEnd); end >= 0 {
			if c.filled > end+len(headEnd) {
				return "", errors.New("more than the head of a response")
			}
			return string(c.buffer[:c.filled]), nil
		}
		if c.filled == len(c.buffer) {
			return "", errors.New("a head that is too long")
		}
		count, err := unix.Read(c.fd, c.buffer[c.filled:])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return "", fmt.Errorf("receive: %w", err)
		case count == 0:
			return "", errClosed
		default:
			c.filled += count
		}
	}
}

// Of a frame's first two bytes (RFC 6455 section 5.2).
const (
	finalText = 0x81 // the last fragment, text
	masked    = 0x80
)

// serverFrame is a text of at most 125 bytes as a server sends it.
func serverFrame(text []byte) []byte { return append([]byte{finalText, byte(len(text))}, text...) }

// clientFrame is a text of at most 125 bytes as a client sends it.
func clientFrame(text []byte) []byte {
	mask := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	frame := append([]byte{finalText, masked | byte(len(text))}, mask[:]...)
	for index, letter := range text {
		frame = append(frame, letter^mask[index%4])
	}
	return frame
}

func (l *echoLoad) close() {
	for _, lane := range l.lanes {
		unix.Close(lane.fd)
	}
	unix.Close(l.epoll)
}

// run sends a message on every socket, and again after each echo until end; then it waits for the last echoes.
// An end that has passed makes one echo on each socket.
func (l *echoLoad) run(ctx context.Context, end time.Time) error {
	for index := range l.lanes {
		if err := l.send(index); err != nil {
			return err
		}
	}
	events := make([]unix.EpollEvent, 512)
	for last := time.Now(); l.underWay > 0; {
		count, err := epollWait(l.epoll, events, time.Second)
		if err != nil {
			return err
		}
		now := time.Now()
		if count > 0 {
			last = now
		} else if now.Sub(last) > echoTimeout {
			return fmt.Errorf("%d echoes missing", l.underWay)
		}
		for _, event := range events[:count] {
			if err := l.receive(int(event.Fd), now, end); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// send writes the message to a socket that has none under way, so that there is room for it.
func (l *echoLoad) send(index int) error {
	lane := &l.lanes[index]
	lane.got, lane.sent = 0, time.Now()
	count, err := unix.SendmsgN(lane.fd, l.message, nil, nil, unix.MSG_NOSIGNAL)
	if err == nil && count < len(l.message) {
		err = errors.New("no room")
	}
	if err != nil {
		return fmt.Errorf("WebSocket %d: send: %w", index, err)
	}
	l.underWay++
	return nil
}

// receive reads what has come of an echo, and compares it.
func (l *echoLoad) receive(index int, now, end time.Time) error {
	lane := &l.lanes[index]
	count, err := unix.Read(lane.fd, l.buffer)
	switch {
	case err == unix.EINTR || err == unix.EAGAIN:
		return nil
	case err != nil:
		return fmt.Errorf("WebSocket %d: receive: %w", index, err)
	case count == 0:
		return fmt.Errorf("WebSocket %d: %w", index, errClosed)
	case lane.got+count > len(l.want) || !bytes.Equal(l.buffer[:count], l.want[lane.got:lane.got+count]):
		return fmt.Errorf("WebSocket %d: %q, want an echo", index, l.buffer[:count])
	}
	if lane.got += count; lane.got < len(l.want) {
		return nil
	}
	l.samples = append(l.samples, now.Sub(lane.sent))
	l.underWay--
	if now.Before(end) {
		return l.send(index)
	}
	return nil
}
