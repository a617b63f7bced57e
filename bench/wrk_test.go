package main

import (
	"testing"
	"time"
)

const wrkOutput = `Running 5s test @ http://127.0.0.1:8080/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   361.92us  101.08us   3.90ms   92.06%
    Req/Sec   138.01k     2.57k  143.21k    70.59%
  Latency Distribution
     50%  347.00us
     75%  382.00us
     90%  437.00us
     99%    1.20s 
  699903 requests in 5.10s, 86.77MB read
Requests/sec: 137235.42
Transfer/sec:     17.01MB
`

func TestParseWrk(t *testing.T) {
	got, err := parseWrk([]byte(wrkOutput))
	if err != nil {
		t.Fatal(err)
	}
	want := wrkResult{Requests: 699903, RequestsPerSecond: 137235.42, P50: 347 * time.Microsecond, P99: 1200 * time.Millisecond}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestParseWrkAddsUpErrors(t *testing.T) {
	output := wrkOutput + "  Socket errors: connect 1, read 20, write 300, timeout 4000\n  Non-2xx or 3xx responses: 50000\n"
	got, err := parseWrk([]byte(output))
	if err != nil || got.Errors != 54321 {
		t.Errorf("got %d errors, %v, want 54321", got.Errors, err)
	}
}

func TestParseWrkRefusesOtherOutput(t *testing.T) {
	for _, output := range []string{"", "unable to connect to 127.0.0.1:1 Connection refused\n", "  10 requests in 1s\nRequests/sec: 10.0\n"} {
		if result, err := parseWrk([]byte(output)); err == nil {
			t.Errorf("%q: no error, got %+v", output, result)
		}
	}
}
