package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExampleSite(t *testing.T) {
	p := startNano(t, 1, "serve", "-c", copyNode(t, "examples/site/nano.toml", "examples/site"))
	read := func(name string) string {
		content, err := os.ReadFile(filepath.Join(repository(t), "examples/site/public", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	got := p.expect("GET", "/", "", "", 200, read("index.html"))
	if got.header.Get("content-type") != "text/html; charset=utf-8" || got.header.Get("etag") == "" {
		t.Errorf("headers: %v", got.header)
	}
	p.expect("GET", "/assets/style.css?v=2", "", "", 200, read("assets/style.css"))
	p.expect("GET", "/api/minutes", "", "", 200, `{"minutes":0}`)
	missing := p.expect("GET", "/nowhere", "", "", 404, read("404.html"))
	if missing.header.Get("content-type") != "text/html; charset=utf-8" {
		t.Errorf("headers of the app's own answer: %v", missing.header)
	}
	p.expect("POST", "/", "", "x", 404, read("404.html"))
	if body, ok := p.curl("--path-as-is", p.url+"/assets/../../site.js"); ok && body != read("404.html") {
		t.Errorf("a path out of the folder: %q", body)
	}
	if text, ok := p.curl("-r", "0-8", "-D", "-", p.url+"/index.html"); ok {
		if !strings.HasPrefix(text, "HTTP/1.1 206 Partial Content\r\n") || !strings.HasSuffix(text, "\r\n\r\n<!doctype") {
			t.Errorf("a part: %q", text)
		}
	}
}

// assetsSource asks for the app's own files in every way, by the path.
const assetsSource = `
export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const [, how, ...rest] = url.pathname.split("/");
    const target = new URL("/" + rest.join("/"), url);
    switch (how) {
      case "pass": return env.ASSETS.fetch(new Request(target, request));
      case "read": return new Response(await (await env.ASSETS.fetch(new Request(target, request))).text());
      case "text": return new Response(await (await env.ASSETS.fetch(target)).text());
      case "stream": {
        const { body } = await env.ASSETS.fetch(target);
        return new Response(body.pipeThrough(new TransformStream()));
      }
      case "half": {
        const reader = (await env.ASSETS.fetch(target)).body.getReader();
        const { value } = await reader.read();
        await reader.cancel();
        return new Response(String(value.length > 0));
      }
      case "unread": await env.ASSETS.fetch(target); return new Response("unread");
      case "many": {
        const all = await Promise.all(Array.from({ length: 20 }, () => env.ASSETS.fetch(target)));
        return new Response(String((await Promise.all(all.map((r) => r.text()))).every((text) => text.length === 700000)));
      }
      case "post": return env.ASSETS.fetch(target, { method: "POST", body: "x".repeat(100000) });
    }
    return new Response("app");
  },
};
`

// gzipOf compresses a text.
func gzipOf(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestAssets(t *testing.T) {
	large, huge := strings.Repeat("0123456789", 70_000), strings.Repeat("abcdefgh", 400_000)
	folder := writeFiles(t, map[string]string{"app.js": assetsSource, "public/f/small.txt": "small", "public/f/large.txt": large,
		"public/f/huge.txt": huge, "public/f/small.txt.gz": gzipOf(t, "small"), "public/f/huge.txt.br": "huge in br", "public/f/large.txt.gz": gzipOf(t, large), "nano.toml": `
[server]
listen = ["127.0.0.1:0"]
loops = 2
[[app]]
name = "a"
main = "app.js"
static = "public"
[app.limits]
cpu = "10s"
`})
	p := startNano(t, 1, "serve", "-c", filepath.Join(folder, "nano.toml"))
	for range 2 {
		for _, how := range []string{"/pass", "/text", "/stream"} {
			p.expect("GET", how+"/f/small.txt", "", "", 200, "small")
			p.expect("GET", how+"/f/large.txt", "", "", 200, large)
			p.expect("GET", how+"/f/huge.txt", "", "", 200, huge)
		}
		p.expect("GET", "/half/f/huge.txt", "", "", 200, "true")
		p.expect("GET", "/unread/f/huge.txt", "", "", 200, "unread")
		p.expect("GET", "/many/f/large.txt", "", "", 200, "true")
		p.expect("GET", "/pass/f/none", "", "", 404, "")
		p.expect("GET", "/post/f/small.txt", "", "", 405, "")
		p.expect("HEAD", "/pass/f/huge.txt", "", "", 200, "")
	}
	// Precompressed siblings are passed on; who reads them gets the file.
	for path, want := range map[string]string{"/pass/f/small.txt": "gzip " + gzipOf(t, "small"), "/pass/f/huge.txt": "br huge in br",
		"/pass/f/large.txt": "gzip " + gzipOf(t, large), "/read/f/small.txt": " small", "/read/f/huge.txt": " " + huge, "/read/f/large.txt": " " + large,
		"/f/small.txt": "gzip " + gzipOf(t, "small"), "/f/huge.txt": "br huge in br"} {
		got := p.ask("GET", path, "", "", "accept-encoding", "gzip, br")
		if text := got.header.Get("content-encoding") + " " + got.body; got.status != 200 || text != want {
			t.Errorf("%s: %d %.40q (%d bytes), want %.40q (%d bytes)", path, got.status, text, len(text), want, len(want))
		}
		if strings.HasPrefix(path, "/pass") {
			tag := got.header.Get("etag")
			if got := p.ask("GET", path, "", "", "accept-encoding", "gzip, br", "if-none-match", tag); got.status != 304 {
				t.Errorf("%s: %d to who has it", path, got.status)
			}
		}
	}
	got := p.ask("GET", "/pass/f/huge.txt", "", "", "range", "bytes=8-15")
	if got.status != 206 || got.body != "abcdefgh" {
		t.Errorf("a part: %d %.40q", got.status, got.body)
	}
	tag := got.header.Get("etag")
	if got := p.ask("GET", "/pass/f/huge.txt", "", "", "if-none-match", tag); got.status != 304 || got.body != "" || got.header.Get("etag") != tag {
		t.Errorf("to who has it: %+v", got)
	}
}

func TestStaticFolderIsNotThere(t *testing.T) {
	folder := writeFiles(t, map[string]string{"app.js": "export default { fetch: () => new Response() }", "nano.toml": `
[[app]]
name = "a"
main = "app.js"
static = "public"
`})
	file := filepath.Join(folder, "nano.toml")
	for _, command := range []string{"serve", "check"} {
		code, _, errors := runNano(t, command, "-c", file)
		want := "nano.toml:5:10: [[app]] static: " + filepath.Join(folder, "public") + ": no such file or directory; name a folder that nano's user can read"
		if code != 1 || !strings.Contains(errors, want) {
			t.Errorf("%s: exit code %d, %s", command, code, errors)
		}
	}
}
