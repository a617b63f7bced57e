package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// densityCounts are the numbers of warm apps.
var densityCounts = []int{1, 100, 1000, 2000}

const (
	densityJudged = 1000 // the number of apps at which the target holds
	densityHeavy  = 1000 // the number of apps that get more than one request each
	heavyRequests = 100  // that many
)

// densityResult is what a runtime needs for a number of warm apps, each of which has answered.
type densityResult struct {
	Peer     string `json:"peer"`
	Apps     int    `json:"apps"`
	Requests int    `json:"requests_each"`
	memory
	Mappings int64 `json:"mappings"` // of vm.max_map_count
	Virtual  int64 `json:"virtual_bytes"`
	// Warming is the time from the process's start until every app had answered.
	Warming time.Duration `json:"warming_ns"`
	Failure string        `json:"failure,omitempty"`
}

// perApp returns the memory that each app adds to the process with one app, both with the same
// number of requests if there is such a one.
func (d densityResult) perApp(all []densityResult) int64 {
	for _, one := range all {
		if one.Peer == d.Peer && one.Apps == 1 && one.Failure == "" && d.Apps > 1 {
			return (d.RSS - one.RSS) / int64(d.Apps-1)
		}
	}
	return 0
}

// apartment is a server of many apps: how to ask each of them.
type apartment struct {
	*server
	addresses []string // of each app
	requests  [][]byte // for each app
	tenants   []tenant
	connected map[string]*client
	started   int // requests that the first app has had from startServer
}

// runDensity warms apps up and looks at the process.
func (b *bench) runDensity(ctx context.Context) ([]densityResult, error) {
	counts := densityCounts
	if b.quick {
		counts = []int{1, 100}
	}
	tenants, err := b.distinct(counts[len(counts)-1])
	if err != nil {
		return nil, err
	}
	if p, found := b.nano(); found {
		if err := b.build(ctx, p, tenants); err != nil {
			return nil, err
		}
	}
	var results []densityResult
	for _, p := range b.peers {
		start := map[string]func(context.Context, peer, []tenant) (*apartment, error){
			nanoName: b.rentNano, otherName: b.rentNano, "workerd": b.rentWorkerd,
		}[p.Name]
		if start == nil {
			continue // a process for each app
		}
		for _, count := range counts {
			measured, err := measureDensity(ctx, p, start, tenants[:count])
			if ctx.Err() != nil {
				return results, ctx.Err()
			}
			if err != nil {
				measured = append(measured, densityResult{Peer: p.Name, Apps: count, Failure: err.Error()})
			}
			for _, one := range measured {
				progress("density   %-7s %5d apps, %3d requests each: RSS %s, %d mappings %s", one.Peer, one.Apps, one.Requests,
					megabytes(one.RSS), one.Mappings, one.Failure)
			}
			results = append(results, measured...)
		}
	}
	return results, nil
}

// measureDensity starts a runtime with some apps, asks each of them once, and for densityHeavy of
// them many times more.
func measureDensity(ctx context.Context, p peer, rent func(context.Context, peer, []tenant) (*apartment, error), tenants []tenant) ([]densityResult, error) {
	start := time.Now()
	house, err := rent(ctx, p, tenants)
	if err != nil {
		return nil, err
	}
	defer house.leave()
	var results []densityResult
	rounds := []int{1}
	if len(tenants) == densityHeavy {
		rounds = append(rounds, heavyRequests-1)
	}
	asked := 0
	for _, round := range rounds {
		for range round {
			asked++
			if err := house.askAll(asked); err != nil {
				return results, fmt.Errorf("%w: %s", err, tail(house.output.String()))
			}
		}
		result := densityResult{Peer: p.Name, Apps: len(tenants), Requests: asked, Warming: time.Since(start)}
		if err := house.settle(ctx, settleLimit); err != nil {
			return results, err
		}
		if err := result.read(house.Process); err != nil {
			return results, err
		}
		results = append(results, result)
	}
	// All of them must be warm at the same time.
	return results, house.askAll(asked + 1)
}

// read looks at the process.
func (d *densityResult) read(process int) (err error) {
	if d.memory, err = readMemory(process); err != nil {
		return err
	}
	d.Mappings, d.Virtual, err = readMappings(process)
	return err
}

// readMappings returns the number of memory mappings of a process and the size of its address space.
func readMappings(process int) (count, virtual int64, err error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", process))
	if err != nil {
		return 0, 0, err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", process))
	if err != nil {
		return 0, 0, err
	}
	size := strings.TrimSuffix(valueOf(string(status), "VmSize", ":"), " kB")
	virtual, err = strconv.ParseInt(size, 10, 64)
	return int64(bytes.Count(content, []byte("\n"))), virtual * 1024, err
}

// askAll makes the request with a number, counted from 1, to every app.
func (a *apartment) askAll(number int) error {
	for index, request := range a.requests {
		address := a.addresses[index]
		connection := a.connected[address]
		if connection == nil {
			var err error
			if connection, err = dial(address); err != nil {
				return err
			}
			a.connected[address] = connection
		}
		answer, err := connection.ask(request)
		if err == nil {
			err = answer.expect(a.tenants[index].greeting())
		}
		want := number
		if index == 0 {
			want += a.started
		}
		if err == nil && answer.Served != want {
			err = fmt.Errorf("instance has served %d requests, want %d: it did not stay warm", answer.Served, want)
		}
		if err != nil {
			return fmt.Errorf("%s of %d apps: %w", a.tenants[index].Name, len(a.requests), err)
		}
		if len(a.addresses) > 1 && a.addresses[0] != a.addresses[1] {
			connection.close() // a server with a socket for each app need not keep a connection for each
			delete(a.connected, address)
		}
	}
	return nil
}

func (a *apartment) leave() {
	for _, connection := range a.connected {
		connection.close()
	}
	a.stop()
}

// rentNano starts NANO with apps that have memory enough to stay warm.
func (b *bench) rentNano(ctx context.Context, p peer, tenants []tenant) (*apartment, error) {
	return b.rentFleet(ctx, p, fleet{Memory: "16GiB", Idle: time.Hour, Tenants: tenants})
}

// rentFleet starts NANO with a fleet.
func (b *bench) rentFleet(ctx context.Context, p peer, f fleet) (*apartment, error) {
	running, err := b.startFleet(ctx, p, f)
	if err != nil {
		return nil, err
	}
	house := &apartment{server: running, tenants: f.Tenants, connected: map[string]*client{}}
	for _, t := range f.Tenants {
		house.addresses = append(house.addresses, running.Address)
		house.requests = append(house.requests, t.get("/"))
	}
	return house, nil
}

// rentWorkerd starts workerd with a service for each app. A socket of workerd leads to one service,
// so each has one of its own.
func (b *bench) rentWorkerd(ctx context.Context, p peer, tenants []tenant) (*apartment, error) {
	folder, err := os.MkdirTemp(b.temporary, "workerd-")
	if err != nil {
		return nil, err
	}
	house := &apartment{tenants: tenants, connected: map[string]*client{}, started: 1}
	var modules []string
	for index, t := range tenants {
		module := t.Name + ".js"
		if err := os.Link(t.Main, filepath.Join(folder, module)); err != nil {
			return nil, err
		}
		modules = append(modules, module)
		house.addresses = append(house.addresses, fmt.Sprintf("unix:%s/%d", folder, index))
		house.requests = append(house.requests, t.get("/"))
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	// startServer asks the first app by TCP.
	house.addresses[0] = fmt.Sprintf("127.0.0.1:%d", port)
	path := filepath.Join(folder, "workerd.capnp")
	if err := os.WriteFile(path, workerdServices(house.addresses, modules), 0o644); err != nil {
		return nil, err
	}
	house.server, err = startServer(ctx, []string{p.Binary, "serve", path}, b.serverCore, house.addresses[0])
	return house, err
}

// workerdServices writes a configuration with one service and one socket for each module.
func workerdServices(addresses, modules []string) []byte {
	var text bytes.Buffer
	page := bufio.NewWriter(&text)
	fmt.Fprintf(page, "using Workerd = import \"/workerd/workerd.capnp\";\n\nconst config :Workerd.Config = (\n  services = [\n")
	for index := range modules {
		fmt.Fprintf(page, "    (name = \"s%d\", worker = .w%d),\n", index, index)
	}
	fmt.Fprintf(page, "  ],\n  sockets = [\n")
	for index, address := range addresses {
		fmt.Fprintf(page, "    (name = \"h%d\", address = %q, http = (), service = \"s%d\"),\n", index, address, index)
	}
	fmt.Fprintf(page, "  ],\n);\n")
	for index, module := range modules {
		fmt.Fprintf(page, "\nconst w%d :Workerd.Worker = (\n  modules = [ (name = \"app.js\", esModule = embed %q) ],\n  compatibilityDate = \"2026-11-01\",\n);\n", index, module)
	}
	if err := page.Flush(); err != nil {
		panic(err) // a bytes.Buffer takes everything
	}
	return text.Bytes()
}

// densityOf finds a result of one request each.
func (r *results) densityOf(peer string, apps int) (densityResult, error) {
	for _, one := range r.Density {
		if one.Peer == peer && one.Apps == apps && one.Requests <= 1 {
			if one.Failure != "" {
				return one, errors.New(one.Failure)
			}
			return one, nil
		}
	}
	return densityResult{}, errors.New(notMeasured)
}
