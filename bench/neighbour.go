package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// abuses are the paths of apps/abuse.js.
var abuses = []string{"loop", "heap", "upload", "collect", "promises", "timers", "array", "string", "json", "parse", "recursion", "regexp", "buffers"}

const (
	neighbourRate        = 500 // requests per second of the well-behaved tenant
	neighbourDuration    = 4 * time.Second
	neighbourConnections = 64
	abusers              = 4           // connections of an abuser, each of which asks again at once
	uploadSize           = 100_000_000 // bytes
	abuseSettle          = 10 * time.Second
	abuseLongest         = 200 * time.Millisecond // of an abusive request, on average: then a survival ends early
)

var (
	// abuseLimits are the limits of the abusive tenant: those of a small plan.
	abuseLimits = []string{`cpu = "50ms"`, `heap = "128MiB"`, `wall = "5s"`}
	// survivalLimits are those when requests are made by the thousand: each of them ends as it would, but sooner.
	survivalLimits = []string{`cpu = "10ms"`, `heap = "32MiB"`, `wall = "5s"`}
)

// neighbourTenant is the well-behaved one.
var neighbourTenant = tenant{Name: "neighbour", Main: "hello.js"}

// neighbourResult is what abusers do to a tenant on the same loop, and to the process.
type neighbourResult struct {
	Abuses []abuseResult `json:"abuses"`
}

// abuseResult is what one kind of abuse does.
type abuseResult struct {
	Kind string `json:"kind"`
	// Quiet is the well-behaved tenant alone, just before; Noisy beside the abuser.
	Quiet    arrivalsResult `json:"quiet"`
	Noisy    arrivalsResult `json:"noisy"`
	Beside   abuseCount     `json:"beside"`   // what the abuser got meanwhile
	Survival abuseCount     `json:"survival"` // of a number of requests
	Before   memory         `json:"before"`   // after a tenth of the survival's requests
	After    memory         `json:"after"`    // after all of them
	Busy     bool           `json:"busy"`     // what the abuser left went on working
	Died     bool           `json:"died"`
	Failure  string         `json:"failure,omitempty"`
}

// ratio compares the tenant's p99 beside the abuser with the one without.
func (a abuseResult) ratio() float64 {
	if a.Quiet.P99 == 0 {
		return 0
	}
	return float64(a.Noisy.P99) / float64(a.Quiet.P99)
}

// abuseCount counts the answers to abusive requests: by status and limit, or noAnswer and why.
type abuseCount struct {
	Requests int            `json:"requests"`
	Answers  map[string]int `json:"answers"`
}

func (c abuseCount) String() string {
	var parts []string
	for _, answer := range slices.Sorted(maps.Keys(c.Answers)) {
		parts = append(parts, fmt.Sprintf("%s × %d", answer, c.Answers[answer]))
	}
	return strings.Join(parts, ", ")
}

// noAnswer begins what is counted of requests that got none; the reason follows.
const noAnswer = "no answer"

// runNeighbour measures a tenant alone and beside each abuser. Each kind of abuse has a node of its
// own.
func (b *bench) runNeighbour(ctx context.Context) (*neighbourResult, error) {
	p, found := b.nano()
	if !found {
		return nil, nil
	}
	result := &neighbourResult{}
	for _, kind := range b.abuses {
		one := abuseResult{Kind: kind}
		err := b.measureAbuse(ctx, p, &one)
		if ctx.Err() != nil {
			return result, ctx.Err()
		}
		if err != nil {
			one.Failure = err.Error()
		}
		progress("neighbour %-10s quiet p50 %s p99 %s, noisy p50 %s p99 %s p99.9 %s (× %.2f), %d failed; %s; survival %d: %s, RSS %s → %s, died: %v %s", kind,
			milliseconds(one.Quiet.P50), milliseconds(one.Quiet.P99), milliseconds(one.Noisy.P50), milliseconds(one.Noisy.P99), milliseconds(one.Noisy.P999), one.ratio(), one.Noisy.Failed, one.Beside, one.Survival.Requests,
			one.Survival, megabytes(one.Before.RSS), megabytes(one.After.RSS), one.Died, oneLine(one.Failure))
		result.Abuses = append(result.Abuses, one)
	}
	return result, nil
}

// measureAbuse lets an abuser work on a node with two tenants, and then, if a survival is asked for, on another one.
func (b *bench) measureAbuse(ctx context.Context, p peer, result *abuseResult) error {
	err := b.abuseNode(ctx, p, abuseLimits, result, b.besideAbuse)
	if err != nil || b.abuse == 0 {
		return err
	}
	limits := survivalLimits
	if isUpload(result.Kind) { // bodies are what these are about
		limits = abuseLimits
	}
	return b.abuseNode(ctx, p, limits, result, b.surviveAbuse)
}

// abuseNode starts a node with two tenants, of which the abuser has limits, and runs a part of the measurement on it.
func (b *bench) abuseNode(ctx context.Context, p peer, limits []string, result *abuseResult,
	part func(context.Context, *server, *abuseResult) error) error {
	tenants := []tenant{neighbourTenant, {Name: "abuser", Main: "abuse.js", Limits: limits}}
	for i := range tenants {
		tenants[i].Main = b.appPath(tenants[i].Main)
	}
	running, err := b.startFleet(ctx, p, fleet{Memory: "1GiB", Idle: time.Hour, Tenants: tenants})
	if err != nil {
		return err
	}
	defer running.stop()
	err = part(ctx, running, result)
	result.Died = !running.alive()
	if err == nil && result.Died {
		err = errors.New("the process died")
	}
	if err != nil {
		return fmt.Errorf("%w: %s", err, tail(running.output.String()))
	}
	return nil
}

// besideAbuse loads the neighbour alone, and then beside the abuser.
func (b *bench) besideAbuse(ctx context.Context, running *server, result *abuseResult) error {
	load := arrivals{
		Address: running.Address, Rate: neighbourRate, Duration: neighbourDuration, Connections: neighbourConnections, Seed: 1,
		Next:  func(int) []byte { return neighbourTenant.get("/") },
		Check: func(_ int, r reply) error { return r.expect("Hello, World!") },
	}
	if b.quick {
		load.Duration = time.Second
	}
	warm := load
	warm.Duration = time.Second
	if err := onCore(b.clientCore, func() error { _, err := warm.run(ctx); return err }); err != nil {
		return err
	}
	if err := running.settle(ctx, settleLimit); err != nil {
		return err
	}
	var err error
	if err := onCore(b.clientCore, func() error { result.Quiet, err = load.run(ctx); return err }); err != nil {
		return err
	}
	var group sync.WaitGroup
	var abuseError error
	// The abuser is there a little earlier and stays a little longer.
	group.Go(func() {
		result.Beside, abuseError = b.abuser(ctx, running.Address, result.Kind, 0, load.Duration+time.Second)
	})
	if err := wait(ctx, time.Second/2); err != nil {
		return err
	}
	err = onCore(b.clientCore, func() error { result.Noisy, err = load.run(ctx); return err })
	group.Wait()
	return errors.Join(err, abuseError)
}

// surviveAbuse makes a number of abusive requests and compares the memory early and late. In the end the neighbour must
// be served as ever.
func (b *bench) surviveAbuse(ctx context.Context, running *server, result *abuseResult) error {
	count := max(b.abuse, 2)
	early := max(count/10, 1)
	for _, part := range []struct {
		count  int
		memory *memory
	}{{early, &result.Before}, {count - early, &result.After}} {
		got, err := b.abuser(ctx, running.Address, result.Kind, part.count, max(time.Duration(part.count)*abuseLongest, abuseSettle))
		if err != nil {
			return err
		}
		result.Survival.add(got)
		if err := running.settle(ctx, abuseSettle); errors.Is(err, errBusy) {
			result.Busy = true
		} else if err != nil {
			return err
		}
		if *part.memory, err = readMemory(running.Process); err != nil {
			return err
		}
	}
	connection, err := dial(running.Address)
	if err != nil {
		return err
	}
	defer connection.close()
	answer, err := connection.ask(neighbourTenant.get("/"))
	if err != nil {
		return err
	}
	return answer.expect("Hello, World!")
}

func (c *abuseCount) add(other abuseCount) {
	if c.Answers == nil {
		c.Answers = map[string]int{}
	}
	c.Requests += other.Requests
	for answer, count := range other.Answers {
		c.Answers[answer] += count
	}
}

// abuseCommand is the first argument of this program when it is the abuser of another process.
const abuseCommand = "abuse"

// abuser runs an abuser: a process that gets what the measurement leaves of the client's core. It makes
// at most count requests, or with 0 any number, until duration is over.
func (b *bench) abuser(ctx context.Context, address, kind string, count int, duration time.Duration) (abuseCount, error) {
	var result abuseCount
	self, err := os.Executable()
	if err != nil {
		return result, err
	}
	command := exec.CommandContext(ctx, "chrt", "--idle", "0", "taskset", "-c", b.clientCore, self, abuseCommand,
		address, kind, strconv.Itoa(count), duration.String())
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return result, fmt.Errorf("abuser: %w", err)
	}
	return result, json.Unmarshal(output, &result)
}

// runAbuser is the abuser's process: it prints an abuseCount.
func runAbuser(arguments []string) error {
	if len(arguments) != 4 {
		return errors.New("want ADDRESS KIND COUNT DURATION")
	}
	count, err := strconv.Atoi(arguments[2])
	if err != nil {
		return err
	}
	duration, err := time.ParseDuration(arguments[3])
	if err != nil {
		return err
	}
	result := abuse(arguments[0], abuseRequest(arguments[1]), count, duration)
	return json.NewEncoder(os.Stdout).Encode(result)
}

// isUpload tells whether the requests of a kind of abuse have large bodies.
func isUpload(kind string) bool { return kind == "upload" || kind == "collect" }

// abuseRequest returns the request for a kind of abuse.
func abuseRequest(kind string) []byte {
	request := tenant{Name: "abuser"}.get("/" + kind)
	if !isUpload(kind) {
		return request
	}
	head := strings.TrimSuffix(string(request), "\r\n") + fmt.Sprintf("Content-Length: %d\r\n\r\n", uploadSize)
	head = "POST" + strings.TrimPrefix(head, "GET")
	return append([]byte(head), make([]byte, uploadSize)...)
}

// abuse asks on several connections: at most count requests in all, or with 0 any number, until
// duration is over.
func abuse(address string, request []byte, count int, duration time.Duration) abuseCount {
	result := abuseCount{Answers: map[string]int{}}
	end := time.Now().Add(duration)
	var mutex sync.Mutex
	take := func() bool {
		mutex.Lock()
		defer mutex.Unlock()
		if count > 0 && result.Requests == count || time.Now().After(end) {
			return false
		}
		result.Requests++
		return true
	}
	var group sync.WaitGroup
	for range abusers {
		group.Go(func() {
			var connection *client
			for take() {
				var outcome string
				connection, outcome = abuseOnce(connection, address, request)
				mutex.Lock()
				result.Answers[outcome]++
				mutex.Unlock()
			}
			if connection != nil {
				connection.close()
			}
		})
	}
	group.Wait()
	return result
}

// abuseOnce makes one request, on a new connection if there is none, and returns the connection
// unless it is of no more use.
func abuseOnce(connection *client, address string, request []byte) (*client, string) {
	if connection == nil {
		var err error
		if connection, err = dial(address); err != nil {
			return nil, fmt.Sprintf("%s (%v)", noAnswer, err)
		}
	}
	sendError := connection.send(request)
	// A server may answer before it has all of a body, and then close.
	answer, err := connection.receive()
	outcome := strings.TrimSpace(fmt.Sprintf("%d %s", answer.Status, answer.Error))
	if err != nil {
		outcome = fmt.Sprintf("%s (%v)", noAnswer, err)
	}
	if err != nil || sendError != nil || answer.Closes {
		connection.close()
		connection = nil
	}
	return connection, outcome
}
