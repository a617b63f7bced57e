package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// frontSource calls another app in every way, by the path.
const frontSource = `
export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url);
    const name = url.pathname.slice(1);
    const call = (init) => env.BACK.fetch("https://back.test/" + name + url.search, init);
    switch (name) {
      case "pass": return env.BACK.fetch(request);
      case "pipe": return call({ method: "POST", body: request.body });
      case "streams": {
        const response = await call({ method: "POST", body: request.body.pipeThrough(new TransformStream()) });
        return new Response(response.body.pipeThrough(new TransformStream()), response);
      }
      case "fan": {
        const all = await Promise.all([1, 2, 3].map((n) => env.BACK.fetch("http://x/echo?" + n)));
        return Response.json(await Promise.all(all.map((r) => r.text())));
      }
      case "round": try { return await env.ME.fetch(request); } catch (error) { return new Response(error.message, { status: 508 }); }
      case "abort": {
        const controller = new AbortController();
        const pending = call({ signal: controller.signal });
        controller.abort(new Error("enough"));
        return new Response(await pending.then(() => "answered", (error) => error.message));
      }
      case "forget": call(); return new Response("forgotten");
      case "wait": ctx.waitUntil(call().then((r) => r.text())); return new Response("waiting");
    }
    return call({ method: request.method, headers: { "x-from": "front" } });
  },
};
`

const backSource = `
let seen = 0;
export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url);
    switch (url.pathname) {
      case "/pipe": case "/streams": return new Response(request.body, { headers: { "x-seen": String(++seen) } });
      case "/throw": throw new Error("broken back");
      case "/spin": for (;;);
      case "/never": return new Promise(() => {});
      case "/abort": return new Promise(() => {});
      case "/wait": case "/forget": await scheduler.wait(300); console.log("back has " + url.pathname); return new Response("done");
      case "/status": return new Response("short and stout", { status: 418, statusText: "Teapot", headers: [["set-cookie", "a=1"], ["set-cookie", "b=2"]] });
    }
    return new Response([request.method, request.url, request.headers.get("x-from"), ctx.remoteAddress !== "", await request.text()].join(" "));
  },
};
`

func startServices(t *testing.T, loops int) *process {
	t.Helper()
	folder := writeFiles(t, map[string]string{"front.js": frontSource, "back.js": backSource, "nano.toml": fmt.Sprintf(`
[server]
listen = ["127.0.0.1:0"]
loops = %d
max_body = "1GiB"
[isolates]
wall = "2s"
[[app]]
name = "front"
main = "front.js"
[app.limits]
cpu = "10s"
[app.services]
BACK = "back"
ME = "front"
[[app]]
name = "back"
main = "back.js"
hosts = ["back.invalid"]
[app.limits]
wall = "500ms"
cpu = "100ms"
`, loops)})
	return startNano(t, 1, "serve", "-c", filepath.Join(folder, "nano.toml"))
}

// Apps call each other as clients would, on one loop and between two.
func TestServices(t *testing.T) {
	for _, loops := range []int{1, 2} {
		t.Run(fmt.Sprint("loops=", loops), func(t *testing.T) {
			p := startServices(t, loops)
			p.expect("GET", "/x?y", "", "", 200, "GET https://back.test/x?y front true ")
			p.expect("POST", "/pass?q", "", "body", 200, "POST "+p.url+"/pass?q  true body")
			p.expect("GET", "/fan", "", "", 200, `["GET http://x/echo?1  true ","GET http://x/echo?2  true ","GET http://x/echo?3  true "]`)
			p.expect("GET", "/throw", "", "", 500, "nano: back: uncaught Error: broken back")
			p.expect("GET", "/never", "", "", 504, "nano: back: wall limit exceeded")
			got := p.expect("GET", "/spin", "", "", 503, "nano: back: cpu-limit")
			if got.header.Get("nano-error") != "cpu-limit" {
				t.Errorf("headers: %v", got.header)
			}
			got = p.expect("GET", "/status", "", "", 418, "short and stout")
			if len(got.header.Values("set-cookie")) != 2 {
				t.Errorf("cookies: %v", got.header)
			}
			p.expect("HEAD", "/status", "", "", 418, "")
			p.expect("GET", "/abort", "", "", 200, "enough")
			p.expect("GET", "/forget", "", "", 200, "forgotten")
			got = p.ask("GET", "/round", "", "")
			if got.status != 508 || !strings.Contains(got.body, "service calls are nested too deep: front > front > ") {
				t.Errorf("going round: %+v", got)
			}
			long := strings.Repeat("0123456789abcdef", 40_000)
			p.expect("POST", "/pipe", "", long, 200, long)
			p.expect("POST", "/streams", "", long, 200, long)

			// What one app has begun for another is finished before the node ends.
			p.expect("GET", "/wait", "", "", 200, "waiting")
			p.signal(syscall.SIGTERM)
			p.waitForLog("back has /wait")
			if code := p.waitForExit(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// residentOf is what a process holds of memory, in bytes.
func residentOf(t *testing.T, p *process) (bytes int64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.command.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	fmt.Sscan(string(text), &size, &bytes)
	return bytes * int64(os.Getpagesize())
}

// A gigabyte on its way takes no more memory than a megabyte: given back by an app, through JavaScript, and
// through another app.
func TestLargeBodiesTakeNoMemory(t *testing.T) {
	const size, extra = 1 << 30, 48 << 20 // V8's own garbage, and an isolate in the slow lane
	p := startServices(t, 1)
	for _, path := range []string{"/pipe", "/streams"} {
		most := int64(0)
		send := func(size int64) {
			request, err := http.NewRequest("POST", p.url+path, io.LimitReader(zeros{}, size))
			if err != nil {
				t.Fatal(err)
			}
			request.ContentLength = size
			client := http.Client{Timeout: patience}
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			got, buffer := int64(0), make([]byte, 1<<20)
			for err == nil {
				var n int
				n, err = response.Body.Read(buffer)
				got += int64(n)
				most = max(most, residentOf(t, p))
			}
			if err != io.EOF || got != size {
				t.Errorf("%s: %d bytes, %v", path, got, err)
			}
		}
		send(64 << 20) // all that is made once
		before := most
		started := time.Now()
		send(size)
		t.Logf("%s: %d MB, %d MB more, %v", path, most>>20, (most-before)>>20, time.Since(started))
		if most-before > extra {
			t.Errorf("%s: %d MB more for a gigabyte", path, (most-before)>>20)
		}
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
