package isolates

import (
	"fmt"
	"strings"
	"testing"
)

// serviceWorker starts an app without default export in each way there is, and answers requests by path.
func serviceWorker(t *testing.T, source string, test func(t *testing.T, isolate *Isolate)) {
	for _, how := range []string{"snapshot", "source"} {
		for _, perRequest := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/perRequest=%t", how, perRequest), func(t *testing.T) {
				lockThread(t)
				options := AppOptions{EnvJSON: `{"GREETING":"hello","n":7}`, PerRequest: perRequest}
				var app *App
				var err error
				if how == "source" {
					app, err = resolve(t, options, "app.js", source)
				} else {
					var built Built
					if app, built = imageApp(t, options, source); built.Reason != "" {
						t.Fatal(built.Reason)
					}
				}
				if err != nil {
					t.Fatal(err)
				}
				isolate := startImage(t, app, how)
				if perRequest {
					prepare(isolate)
				}
				test(t, isolate)
			})
		}
	}
}

const eventsApp = `
	const seen = typeof GREETING;
	const paths = {
		"/text": (event) => event.respondWith(new Response("text")),
		"/promise": (event) => event.respondWith(Promise.resolve(new Response("promise"))),
		"/late": (event) => event.respondWith((async () => { await null; return new Response("late") })()),
		"/thenable": (event) => event.respondWith({ then(done) { done(new Response("thenable")) } }),
		"/env": (event) => event.respondWith(new Response([seen, GREETING, n, globalThis.n].join())),
		"/event": (event) => event.respondWith(new Response([event instanceof FetchEvent, event instanceof ExtendableEvent,
			event.type, event.isTrusted, event.request instanceof Request, event.clientId, event.passThroughOnException()].join())),
		"/throws": () => { throw new RangeError("thrown") },
		"/rejects": (event) => event.respondWith(Promise.reject(new RangeError("rejected"))),
		"/silent": () => {},
		"/wrong": (event) => event.respondWith("text"),
		"/after": (event) => { event.respondWith(new Response("after")); throw new RangeError("too late") },
		"/twice": (event) => {
			event.respondWith(new Response("once"));
			try { event.respondWith(new Response("twice")) } catch (e) { console.log(e.name, e.message) }
		},
		"/outside": (event) => {
			const response = (async () => {
				await null;
				try { event.respondWith(new Response("twice")) } catch (e) { return new Response(e.name) }
			})();
			event.respondWith(response);
		},
		"/handled": (event) => {
			event.handled.then(() => console.log("handled"));
			event.respondWith(new Response("handled"));
		},
		"/made": (event) => {
			const own = new FetchEvent("fetch", { request: event.request });
			const results = [];
			for (const call of [() => own.respondWith(new Response()), () => own.waitUntil(1), () => new FetchEvent("x", {}), () => new ScheduledEvent()])
				try { call(); results.push("allowed") } catch (e) { results.push(e.name) }
			event.respondWith(new Response(results.join()));
		},
	};
	addEventListener("fetch", (event) => {
		const { pathname } = new URL(event.request.url);
		if (pathname === "/second") return;
		paths[pathname](event);
	});
	self.addEventListener("fetch", (event) => event.respondWith(new Response("second")));`

func TestServiceWorkerEvents(t *testing.T) {
	for _, c := range []struct{ path, want, log string }{
		{"/text", "text", ""}, {"/promise", "promise", ""}, {"/late", "late", ""}, {"/thenable", "thenable", ""},
		{"/env", "undefined,hello,7,7", ""},
		{"/event", "true,true,fetch,true,true,,", ""},
		{"/second", "second", ""}, {"/silent", "second", ""},
		{"/throws", "second", "RangeError: thrown"},
		{"/rejects", "nano: test: uncaught RangeError: rejected", "RangeError: rejected"},
		{"/wrong", "nano: test: fetch() returned a string instead of a Response", "a string"},
		{"/after", "after", "RangeError: too late"},
		{"/twice", "once", "InvalidStateError Failed to execute 'respondWith' on 'FetchEvent'"},
		{"/outside", "InvalidStateError", ""},
		{"/handled", "handled", "handled"},
		{"/made", "InvalidStateError,InvalidStateError,TypeError,TypeError", ""},
	} {
		t.Run(c.path, func(t *testing.T) {
			serviceWorker(t, eventsApp, func(t *testing.T, isolate *Isolate) {
				request(t, isolate, 3, "GET "+c.path+" HTTP/1.1\nHost: h\n\n")
				records := turn(t, isolate)
				if got := string(respondOf(t, records).Body); got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
				log := logsOf(records)
				if !strings.Contains(log, c.log) || c.log == "" && log != "" || strings.Contains(log, "nano:78") {
					t.Errorf("log %q", log)
				}
			})
		})
	}
}

// Without an answer, a request fails with the first error that a listener has thrown, or with words for it.
func TestServiceWorkerWithoutAnswer(t *testing.T) {
	for listener, want := range map[string]string{
		`() => {}`:                                      `nano: test: uncaught Error: no listener of the event fetch has called respondWith()`,
		`() => { throw new TypeError("mine") }`:         `nano: test: uncaught TypeError: mine`,
		`(event) => { event.respondWith() }`:            `nano: test: uncaught TypeError: Failed to execute`,
		`{ handleEvent: 5 }`:                            `nano: test: uncaught TypeError: handleEvent is not a function`,
		`(e) => { setTimeout(() => e.respondWith(1)) }`: `nano: test: uncaught Error: no listener`,
	} {
		isolate := startApp(t, unlimited, `addEventListener("fetch", `+listener+`)`)
		request(t, isolate, 3, get)
		records := turn(t, isolate)
		got := respondOf(t, records)
		if got.Status != 500 || !strings.HasPrefix(string(got.Body), want) {
			t.Errorf("%s: got %d %q", listener, got.Status, got.Body)
		}
		if log := logsOf(records); strings.Count(log, "[4 3] ") != 1 {
			t.Errorf("%s: log %q", listener, log)
		}
	}
}

func TestServiceWorkerWaitUntil(t *testing.T) {
	isolate := startApp(t, unlimited, `
		let go;
		const wait = () => new Promise((done) => { go = done; });
		addEventListener("fetch", (event) => {
			const { pathname } = new URL(event.request.url);
			if (pathname === "/go") go();
			if (pathname === "/wait") event.waitUntil(wait().then(() => event.waitUntil(wait())));
			event.respondWith(new Response("ok"));
		})`)
	request(t, isolate, 3, "GET /wait HTTP/1.1\nHost: h\n\n")
	records := turn(t, isolate)
	if !respondOf(t, records).Pending {
		t.Fatal("the answer is not pending")
	}
	for step := range 3 {
		if got := countOf(records, 3, KindSettled); got != 0 && step < 2 || got != 1 && step == 2 {
			t.Errorf("step %d: settled %d times", step, got)
		}
		request(t, isolate, 4, "GET /go HTTP/1.1\nHost: h\n\n")
		records = turn(t, isolate)
		if log := logsOf(records); log != "" {
			t.Error(log)
		}
	}
}

func TestScheduledEvents(t *testing.T) {
	serviceWorker(t, `
		addEventListener("scheduled", (event) => {
			console.log(event instanceof ScheduledEvent, event.cron, event.scheduledTime, event.noRetry(), GREETING);
			event.waitUntil((async () => { await null; if (event.cron === "@hourly") throw new Error("failed") })());
			if (event.cron === "@yearly") throw new TypeError("thrown");
		})`, func(t *testing.T, isolate *Isolate) {
		for id, c := range []struct {
			cron, log string
			status    uint16
		}{{"@daily", "", 200}, {"@hourly", "scheduled: Error: failed", 500}, {"@yearly", "scheduled: TypeError: thrown", 500}} {
			isolate.AddScheduled(uint32(id), 0, []byte(c.cron), 1_700_000_000_123)
			records := turn(t, isolate)
			log := logsOf(records)
			if got := respondOf(t, records); got.Status != c.status || !strings.Contains(log, c.log) ||
				!strings.Contains(log, "true "+c.cron+" 1700000000123 undefined hello") {
				t.Errorf("%s: status %d, log %q", c.cron, got.Status, log)
			}
		}
		request(t, isolate, 9, get)
		if got := respondOf(t, turn(t, isolate)); !strings.Contains(string(got.Body), "no listener of the event fetch") {
			t.Errorf("fetch: %q", got.Body)
		}
	})
}

func TestServiceWorkerEnvCannotBeAGlobal(t *testing.T) {
	lockThread(t)
	app, err := resolve(t, AppOptions{EnvJSON: `{"Infinity":1}`}, "app.js", `addEventListener("fetch", () => {})`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = startOn(app, -1); err == nil || !strings.Contains(err.Error(), "env.Infinity cannot be a global variable") {
		t.Errorf("got %v", err)
	}
}

// The steps of the clock are what the node's configuration says.
func TestClockStep(t *testing.T) {
	lockThread(t)
	app, err := resolve(t, AppOptions{BindingsJSON: `{"clock":2000}`}, "app.js", `export default { fetch() {
		const first = performance.now();
		let next = first;
		while (next === first) next = performance.now();
		return Response.json([first % 2, (next - first) % 2, next > first, performance.timeOrigin % 1]);
	} }`)
	if err != nil {
		t.Fatal(err)
	}
	isolate, err := startOn(app, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer isolate.Dispose()
	if got := fetch(t, isolate, get); string(got.Body) != "[0,0,true,0]" {
		t.Errorf("got %s", got.Body)
	}
}
