// Command k6 is the load generator k6, built from its Go module:
//
//	cd bench/tools/k6 && go build -o ../../.peers/k6 . && ../../.peers/k6 run ../../load/plain.js
//
// It has a go.mod of its own, so that k6's dependencies are none of NANO's.
package main

import "go.k6.io/k6/cmd"

func main() {
	cmd.Execute()
}
