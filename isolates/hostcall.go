package isolates

import (
	_ "nano/compression" // its functions
	_ "nano/encodings"   // its functions
	"nano/hostcall"
	_ "nano/htmlrewriter"
	_ "nano/webcrypto" // its functions
)

// Packages that register what JavaScript may call, see webapi.HostCalls, are imported here for that alone.

// NewWork makes the call that a KindOpen record of WhatHost asks for. The record's Body must not change until the
// work has run.
func (i *Isolate) NewWork(record *Record) (*hostcall.Work, error) {
	work, err := i.isolate.HostObjects().NewWork(int(record.Number), record.Body)
	if err == nil {
		work.Limit(i.app.options.Limits.CPU * workShare)
	}
	return work, err
}

// workShare: of the CPU time of works the request that has asked for them pays for one part in so many, since
// they run when nobody else wants the core; kBackgroundShare in shim/watchdog.cc.
const workShare = 20

// AddWork stages the outcome of a work that has run. Nothing more comes for its handle.
func (i *Isolate) AddWork(handle int32, work *hostcall.Work) {
	a := i.arenaOf(handle)
	if a == nil {
		work.Drop()
		return
	}
	i.note(a.data(handle, work.Pack(i.isolate.HostObjects()), DataBytes))
	i.over(handle, false)
}
