package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	transformSize = 100 << 20
	gigaSize      = 1 << 30
	bodySample    = 16 << 20 // of a body whose content is verified before, and which warms up
	slowRate      = 100_000  // bytes per second that a slow client reads
	slowDuration  = 5 * time.Second
	slowBuffer    = 64 << 10 // receive buffer of a slow client, so that the kernel does not read on in its place
	slowStep      = 100 * time.Millisecond
	bodyTimeout   = 90 * time.Second // for a whole body
	bodyChunk     = 256 << 10        // that the client writes or reads at once
)

// transfer is one large body that goes through an app.
type transfer struct {
	Name  string
	Title string
	Site  string
	// path is that of a request for a body of this size, or with one.
	path    func(size int) string
	Uploads bool // the client sends the body; the answer is its size
	Slow    bool // the client reads slowRate, and leaves after slowDuration
	// content is what a body of this size consists of, unless the client sends it.
	content func(size int) string
}

func originPath(size int) string { return fmt.Sprintf("/bytes/%d", size) }

// transformed is the transfer of transform100m.
var transformed = transfer{Name: "transform", Title: "through a TransformStream", Site: "transform", path: originPath,
	content: func(size int) string { return strings.ToUpper(bodyOf(size)) }}

// gigaTransfers are those of giga.
func gigaTransfers() []transfer {
	produced := func(size int) string { return strings.Repeat("x", size) }
	produce := func(size int) string { return fmt.Sprintf("/produce/%d", size) }
	upload := func(int) string { return "/upload" }
	count := func(int) string { return "/count" }
	return []transfer{
		{Name: "down", Title: "response of the origin passed on", Site: "bodies", path: originPath, content: bodyOf},
		{Name: "up", Title: "request body passed on to the origin", Site: "bodies", path: upload, Uploads: true},
		{Name: "produce", Title: "response made by the app", Site: "bodies", path: produce, content: produced},
		{Name: "count", Title: "request body read by the app", Site: "bodies", path: count, Uploads: true},
		{Name: "slowdown", Title: "passed on to a client that reads 100 KB/s", Site: "bodies", path: originPath, content: bodyOf, Slow: true},
		{Name: "slowproduce", Title: "made for a client that reads 100 KB/s", Site: "bodies", path: produce, content: produced, Slow: true},
	}
}

// bodyMeasure is one transfer.
type bodyMeasure struct {
	Bytes   int64         `json:"bytes"`
	Elapsed time.Duration `json:"elapsed_ns"`
	CPU     time.Duration `json:"cpu_ns"`
	Before  int64         `json:"rss_before_bytes"`
	Peak    int64         `json:"rss_peak_bytes"`
}

// extra is the memory that the transfer took.
func (m bodyMeasure) extra() int64 { return max(m.Peak-m.Before, 0) }

// bodyResult is what a peer did with one kind of transfer.
type bodyResult struct {
	Peer     string        `json:"peer"`
	Transfer string        `json:"transfer"`
	Title    string        `json:"title"`
	Failure  string        `json:"failure,omitempty"`
	Rounds   []bodyMeasure `json:"rounds"`
}

// rate is the median of the bytes per second.
func (r bodyResult) rate() float64 {
	return medianIn(r.Rounds, func(m bodyMeasure) float64 { return float64(m.Bytes) / m.Elapsed.Seconds() })
}

// cpu is the median of the CPU time for each MiB.
func (r bodyResult) cpu() time.Duration {
	return time.Duration(medianIn(r.Rounds, func(m bodyMeasure) float64 { return float64(m.CPU) / (float64(m.Bytes) / (1 << 20)) }))
}

// extra is the largest memory that a round took.
func (r bodyResult) extra() int64 {
	var most int64
	for _, round := range r.Rounds {
		most = max(most, round.extra())
	}
	return most
}

// medianIn returns the median of a figure of all items.
func medianIn[T any](items []T, figure func(T) float64) float64 {
	var values []float64
	for _, item := range items {
		values = append(values, figure(item))
	}
	return median(values)
}

// runTransform streams bodies through a TransformStream, in rounds in alternation.
func (b *bench) runTransform(ctx context.Context) ([]bodyResult, error) {
	return b.runTransfers(ctx, []transfer{transformed}, b.quickSize(transformSize), b.rounds)
}

// runGiga moves one gigabyte in each of the ways in which an app can be on its way.
func (b *bench) runGiga(ctx context.Context) ([]bodyResult, error) {
	return b.runTransfers(ctx, gigaTransfers(), b.quickSize(gigaSize), 1)
}

func (b *bench) quickSize(size int) int {
	if b.quick {
		return size / 8
	}
	return size
}

// runTransfers makes each transfer with every peer, all of one site. A peer that fails is left out of the
// further rounds of that transfer.
func (b *bench) runTransfers(ctx context.Context, transfers []transfer, size, rounds int) ([]bodyResult, error) {
	site := transfers[0].Site
	var results []bodyResult
	servers := map[string]*server{}
	failures := map[string]error{}
	for _, p := range b.sitePeers(site) {
		running, err := b.launchSite(ctx, p, site)
		if err != nil {
			failures[p.Name] = err
			continue
		}
		defer running.stop()
		servers[p.Name] = running
	}
	for _, t := range transfers {
		group := make([]bodyResult, 0, len(b.peers))
		for _, p := range b.sitePeers(site) {
			one := bodyResult{Peer: p.Name, Transfer: t.Name, Title: t.Title}
			err := failures[p.Name]
			if err == nil {
				err = t.verify(servers[p.Name].Address)
			}
			if err != nil {
				one.Failure = err.Error()
				progress("%s: %s: %v", t.Name, p.Name, err)
			}
			group = append(group, one)
		}
		for round := range rounds {
			for index := range group {
				one := &group[index]
				if one.Failure != "" {
					continue
				}
				measured, err := b.measureTransfer(ctx, servers[one.Peer], t, size)
				if ctx.Err() != nil {
					return results, ctx.Err()
				}
				if err != nil {
					one.Failure = err.Error()
					progress("%s: %s: %v", t.Name, one.Peer, err)
					continue
				}
				one.Rounds = append(one.Rounds, measured)
				progress("%-11s round %d/%d %-7s %6.0f MB/s, CPU %s per MB, %s more memory than %s", t.Name, round+1, rounds, one.Peer,
					float64(measured.Bytes)/measured.Elapsed.Seconds()/(1<<20), milliseconds(one.cpu()), megabytes(measured.extra()), megabytes(measured.Before))
			}
		}
		results = append(results, group...)
	}
	return results, nil
}

// measureTransfer makes one transfer on a server that rests.
func (b *bench) measureTransfer(ctx context.Context, running *server, t transfer, size int) (result bodyMeasure, err error) {
	if err := running.rest(ctx); err != nil {
		return result, err
	}
	if err := resetPeak(running.Process); err != nil {
		return result, err
	}
	memory, err := readMemory(running.Process)
	if err != nil {
		return result, err
	}
	before, err := readUsage(running.Process)
	if err != nil {
		return result, err
	}
	start := time.Now()
	err = onCore(b.clientCore, func() error {
		result.Bytes, err = t.run(running.Address, size, nil)
		return err
	})
	result.Elapsed = time.Since(start)
	if err != nil {
		return result, fmt.Errorf("%w: %s", err, tail(running.output.String()))
	}
	after, err := readUsage(running.Process)
	if err != nil {
		return result, err
	}
	result.CPU, result.Before = after.since(before).Total, memory.RSS
	result.Peak, err = readPeak(running.Process)
	return result, err
}

// verify makes a small transfer, whole, and compares every byte.
func (t transfer) verify(address string) error {
	t.Slow = false
	var content strings.Builder
	count, err := t.run(address, bodySample, &content)
	switch {
	case err != nil:
		return err
	case t.Uploads:
		return nil // run has compared the size that was answered
	case content.String() != t.content(bodySample):
		return fmt.Errorf("%s: another body than wanted, of %d bytes", t.path(bodySample), count)
	}
	return nil
}

// run makes one transfer and returns how many bytes of the body went through the connection. What is
// received goes to sink, unless that is nil.
func (t transfer) run(address string, size int, sink io.Writer) (int64, error) {
	connection, err := net.Dial("tcp", address)
	if err != nil {
		return 0, err
	}
	defer connection.Close()
	if t.Slow {
		if err := connection.(*net.TCPConn).SetReadBuffer(slowBuffer); err != nil {
			return 0, err
		}
	}
	if err := connection.SetDeadline(time.Now().Add(bodyTimeout)); err != nil {
		return 0, err
	}
	if t.Uploads {
		return int64(size), t.upload(connection, address, size)
	}
	head := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", t.path(size), address)
	if _, err := io.WriteString(connection, head); err != nil {
		return 0, err
	}
	response, err := http.ReadResponse(bufio.NewReaderSize(connection, 64<<10), nil)
	if err != nil {
		return 0, err
	}
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("status %d", response.StatusCode)
	}
	if t.Slow {
		return readSlowly(response.Body)
	}
	if sink == nil {
		sink = io.Discard
	}
	count, err := io.CopyBuffer(onlyWriter{sink}, response.Body, make([]byte, bodyChunk))
	if err == nil && count != int64(size) {
		err = fmt.Errorf("a body of %d bytes, want %d", count, size)
	}
	return count, err
}

// onlyWriter hides other methods, so that io.CopyBuffer uses its buffer.
type onlyWriter struct{ io.Writer }

// upload sends a body and compares the size that is answered. The answer is awaited beside the sending: a
// server that refuses the body says so before the end.
func (t transfer) upload(connection net.Conn, address string, size int) error {
	sent := make(chan error, 1)
	go func() {
		head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", t.path(size), address, binaryType, size)
		_, err := io.WriteString(connection, head)
		chunk := []byte(bodyOf(bodyChunk))
		for left := size; left > 0 && err == nil; {
			part := chunk[:min(left, len(chunk))]
			_, err = connection.Write(part)
			left -= len(part)
		}
		sent <- err
	}()
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		connection.Close()
		return fmt.Errorf("%w (sending: %v)", err, <-sent)
	}
	body, err := io.ReadAll(response.Body)
	if err == nil && (response.StatusCode != http.StatusOK || string(body) != strconv.Itoa(size)) {
		err = fmt.Errorf("status %d, %.80q, want %d", response.StatusCode, body, size)
	}
	if err != nil {
		connection.Close()
		<-sent
		return err
	}
	return <-sent
}

// readSlowly reads at slowRate for slowDuration.
func readSlowly(body io.Reader) (total int64, err error) {
	buffer := make([]byte, slowRate*slowStep/time.Second)
	start := time.Now()
	for next := start; next.Sub(start) < slowDuration; next = next.Add(slowStep) {
		sleepUntil(next)
		count, err := io.ReadFull(body, buffer)
		total += int64(count)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}
