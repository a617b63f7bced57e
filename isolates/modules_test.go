package isolates

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// An AsyncLocalStorage that the top level has made works in what is restored, and keeps requests apart.
func TestAsyncContextsOfRequestsAtOnce(t *testing.T) {
	perRequest(t, `import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";
		const storage = new AsyncLocalStorage(), other = new AsyncLocalStorage({ defaultValue: "none" });
		const early = storage.run("top", () => new AsyncResource("EARLY")), pending = storage.run("top", async () => { await null; return storage.getStore(); });
		const deep = async () => { await null; await new Promise((done) => setTimeout(done, 5)); return storage.getStore(); };
		export default { fetch(r) { return storage.run(new URL(r.url).pathname, async () => {
			const found = await Promise.all([deep(), other.run(1, deep), pending]);
			console.log(storage.getStore());
			return new Response([...found, storage.getStore(), other.getStore(), early.runInAsyncScope(() => storage.getStore())].join());
		}) } }`, func(t *testing.T, isolate *Isolate) {
		const count = 20
		for id := range uint32(count) {
			requestWithLogID(t, isolate, id, uint64(1000+id), fmt.Sprintf("GET /%d HTTP/1.1\nHost: h\n\n", id))
		}
		answers, logged := 0, 0
		for range 100 {
			for _, record := range turn(t, isolate) {
				switch record.Kind {
				case KindTimerSet:
					isolate.AddTimer(record.ID)
				case KindLog:
					logged++
					if string(record.Body) != fmt.Sprintf("/%d", record.ID) {
						t.Errorf("request %d logs %s", record.ID, record.Body)
					}
				case KindRespond:
					answers++
					path := fmt.Sprintf("/%d", record.ID)
					if want := strings.Join([]string{path, path, "top", path, "none", "top"}, ","); string(record.Body) != want {
						t.Errorf("request %d: %s, want %s", record.ID, record.Body, want)
					}
				}
			}
		}
		if answers != count || logged != count {
			t.Errorf("%d answers, %d lines", answers, logged)
		}
	})
}

// What runs with a value in a storage is charged to its request all the same. On the app's account it would be
// far beyond what that has.
func TestAsyncContextsAreChargedToTheirRequests(t *testing.T) {
	watchThread(t)
	isolate := startApp(t, Options{Wake: -1, CPULimit: 300 * time.Millisecond}, `import { AsyncLocalStorage } from "node:async_hooks";
		const storage = new AsyncLocalStorage(); const work = () => { let sum = 0; for (let i = 0; i < 3e7; i++) sum += i % 7; return sum; };
		export default { fetch() { return storage.run(1, async () => { await null; work(); return new Response("done"); }) } }`)
	for range 40 {
		if got := fetch(t, isolate, get); string(got.Body) != "done" {
			t.Fatalf("%s", got.Body)
		}
	}
}

// A context that is captured in one request and entered in another has the values of the one, and is the other's.
func TestCapturedContextsBelongToWhoeverEntersThem(t *testing.T) {
	isolate := startApp(t, Options{Wake: -1}, `import { AsyncLocalStorage } from "node:async_hooks";
		const storage = new AsyncLocalStorage(); let captured;
		export default { async fetch(r) { captured ??= storage.run("first", () => AsyncLocalStorage.snapshot());
			await captured(async () => { await null; console.log(storage.getStore()); }); return new Response("ok") } }`)
	for id := range uint32(3) {
		request(t, isolate, id, get)
		if got, want := logsOf(turn(t, isolate)), fmt.Sprintf(" %d] first\n", id); !strings.HasSuffix(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// A top level that reads env has no snapshot, but the values.
func TestTopLevelReadsEnv(t *testing.T) {
	const source = "import { env } from \"cloudflare:workers\";\nlet title;\ntry { title = env.TITLE; } catch (error) { title = error.message; }\n" +
		"export default { fetch() { return new Response(title + env.TITLE) } }"
	app, built := imageApp(t, AppOptions{EnvJSON: `{"TITLE":"a"}`}, source)
	if want := "app.js:3:19: env of cloudflare:workers is not known while a snapshot is built; read it inside fetch()"; built.Reason != want {
		t.Errorf("reason %q, want %q", built.Reason, want)
	}
	if got := fetch(t, startImage(t, app, "cache"), get); string(got.Body) != "aa" {
		t.Errorf("got %s", got.Body)
	}
	app, built = imageApp(t, AppOptions{EnvJSON: `{"TITLE":"b"}`}, strings.Replace(source, "title = env.TITLE", "title = typeof env", 1))
	if built.Reason != "" {
		t.Errorf("reason %q", built.Reason)
	}
	if got := fetch(t, startImage(t, app, "snapshot"), get); string(got.Body) != "objectb" {
		t.Errorf("got %s", got.Body)
	}
}

func TestWorkerEntrypoint(t *testing.T) {
	const class = `import { WorkerEntrypoint, waitUntil } from "cloudflare:workers"; let made = 0;
		class Base extends WorkerEntrypoint { constructor(ctx, env) { super(ctx, env); made++; } name() { return this.env.NAME; } }`
	answers := func(t *testing.T, source, want string) {
		app, built := imageApp(t, AppOptions{EnvJSON: `{"NAME":"value"}`}, source)
		if built.Reason != "" {
			t.Fatal(built.Reason)
		}
		isolate := startImage(t, app, "snapshot")
		for i := range 2 {
			if got := fetch(t, isolate, get); string(got.Body) != fmt.Sprint(want, i+1) {
				t.Errorf("got %s, want %s%d", got.Body, want, i+1)
			}
		}
	}
	answers(t, class+`export default class extends Base { async fetch(request, ...more) { await null; this.ctx.waitUntil(Promise.resolve()); waitUntil(Promise.resolve());
		return new Response([this.name(), request.method, more.length, ""].join() + made) } }`, "value,GET,0,")
	for source, want := range map[string]string{
		class + `export default class extends Base {}`: "the default export has no function fetch",
		`export default class Own { fetch() {} }`:      "the default export is a class that does not extend WorkerEntrypoint of cloudflare:workers; let it do so, or export an instance of it: `export default new Own()`",
	} {
		app, err := resolve(t, AppOptions{}, "app.js", source)
		if err != nil {
			t.Fatal(err)
		}
		lockThread(t)
		if _, err := startOn(app, -1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// The context that a top level leaves behind is neither in its snapshot nor in what comes after it.
func TestTopLevelsLeaveNoContext(t *testing.T) {
	const storage = `import { AsyncLocalStorage } from "node:async_hooks"; const storage = new AsyncLocalStorage();
		storage.enterWith({ top: true }); `
	for what, source := range map[string]string{
		"module":         storage + `export default { fetch() { return new Response(typeof storage.getStore()) } }`,
		"service worker": storage + `addEventListener("fetch", (event) => event.respondWith(new Response(typeof storage.getStore())));`,
	} {
		t.Run(what, func(t *testing.T) {
			app, built := imageApp(t, AppOptions{}, source)
			if built.Reason != "" {
				t.Fatal(built.Reason)
			}
			if got := fetch(t, startImage(t, app, "snapshot"), get); string(got.Body) != "undefined" {
				t.Errorf("got %s", got.Body)
			}
		})
	}
}
