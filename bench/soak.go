package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	soakCount       = 1000                  // changes of apps
	soakQuick       = 40                    // with --quick
	soakParts       = 5                     // after each of them the node comes to rest and is measured
	soakGrowthMost  = 5 << 20               // bytes, from the first part to the last
	soakClients     = 4                     // that ask all the time, each on a connection
	soakPause       = 10 * time.Millisecond // between two requests of one
	soakPagesKept   = 9 * time.Second       // V8 keeps the pages of ended isolates for 8 s
	soakDescriptors = 4                     // that may come and go meanwhile
)

// soakApps are the kinds of apps that are changed: how each is started, and from what. %d is the version.
var soakApps = []struct{ Name, File, Text, Type string }{
	{"js", "app.js", "const version = %d;\nexport default { fetch: () => new Response(`version ${version}`) };\n", "application/javascript"},
	{"ts", "app.ts", "interface Known { version: number }\nconst known: Known = { version: %d };\n" +
		"export default { fetch(): Response { return new Response(`version ${known.version}`); } };\n", "text/typescript"},
	{"intl", "app.js", "const format = new Intl.NumberFormat('en', { useGrouping: false });\n" + // cannot be in a snapshot
		"export default { fetch: () => new Response(`version ${format.format(%d)}`) };\n", "application/javascript"},
}

// soakSample is what a node takes at rest.
type soakSample struct {
	Changes     int   `json:"changes"`
	RSS         int64 `json:"rss_bytes"`
	Descriptors int   `json:"descriptors"`
	StateFiles  int   `json:"state_files"`
	StateBytes  int64 `json:"state_bytes"`
}

// soakResult is what changes of all kinds do to requests and to the process.
type soakResult struct {
	Requests int64        `json:"requests"`
	Failed   int64        `json:"failed"`
	Samples  []soakSample `json:"samples"`
	Failure  string       `json:"failure,omitempty"`
}

// soak is a run: a node with an app of each kind.
type soak struct {
	running          *server
	folder           string
	control          http.Client
	requests, failed atomic.Int64
	first            atomic.Pointer[string] // of the failures
}

// runSoak changes apps in every way there is, ways that fail among them, while clients ask for them.
func (b *bench) runSoak(ctx context.Context) (*soakResult, error) {
	p, found := b.nano()
	if !found {
		return nil, nil
	}
	folder, err := os.MkdirTemp(b.temporary, "soak-")
	if err != nil {
		return nil, err
	}
	result := &soakResult{}
	s := &soak{folder: folder}
	err = s.measure(ctx, b, p, result)
	result.Requests, result.Failed = s.requests.Load(), s.failed.Load()
	if first := s.first.Load(); first != nil {
		err = cmp.Or(err, errors.New(*first))
	}
	if err != nil {
		result.Failure = err.Error()
	}
	for _, sample := range result.Samples {
		progress("soak: after %d changes RSS %s, %d descriptors, %d files in state_dir", sample.Changes, megabytes(sample.RSS), sample.Descriptors, sample.StateFiles)
	}
	progress("soak: %d of %d requests failed %s", result.Failed, result.Requests, result.Failure)
	return result, ctx.Err()
}

func (s *soak) measure(ctx context.Context, b *bench, p peer, result *soakResult) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	text := fmt.Sprintf("[server]\nlisten = [\"127.0.0.1:%d\"]\nloops = 1\ndrain_timeout = \"1s\"\n", port)
	for app := range soakApps {
		if err := errors.Join(os.MkdirAll(filepath.Join(s.folder, soakApps[app].Name), 0o755), s.write(app, 0)); err != nil {
			return err
		}
		one := soakApps[app]
		path := "/" + one.Name
		if app == 0 {
			path = "/" // the server is waited for there
		}
		text += fmt.Sprintf("[[app]]\nname = %q\nmain = \"%s/%s\"\npath = %q\nhealth = %q\n", one.Name, one.Name, one.File, path, path)
	}
	if err := os.WriteFile(filepath.Join(s.folder, "nano.toml"), []byte(text), 0o644); err != nil {
		return err
	}
	s.running, err = startServer(ctx, []string{p.Binary, "serve", "-c", filepath.Join(s.folder, "nano.toml")}, b.serverCore, fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	defer s.running.stop()
	s.control = controlClient(s.folder)
	changes := soakCount
	if b.quick {
		changes = soakQuick
	}
	for part := range soakParts {
		if err := s.change(ctx, part*changes/soakParts, (part+1)*changes/soakParts); err != nil {
			return err
		}
		sample, err := s.sample(ctx, (part+1)*changes/soakParts)
		if err != nil {
			return err
		}
		result.Samples = append(result.Samples, sample)
	}
	return nil
}

func (s *soak) write(app, version int) error {
	one := soakApps[app]
	return os.WriteFile(filepath.Join(s.folder, one.Name, one.File), fmt.Appendf(nil, one.Text, version), 0o644)
}

// change makes the changes from one number to another, while clients ask.
func (s *soak) change(ctx context.Context, from, to int) (err error) {
	asking, end := context.WithCancel(ctx)
	var clients sync.WaitGroup
	for i := range soakClients {
		clients.Go(func() { s.ask(asking, i) })
	}
	for i := from; i < to && ctx.Err() == nil && err == nil; i++ {
		if err = soakChanges[i%len(soakChanges)].do(s, i/len(soakChanges)%len(soakApps), i+1); err != nil {
			err = fmt.Errorf("change %d, %s: %w", i+1, soakChanges[i%len(soakChanges)].what, err)
		}
	}
	end()
	clients.Wait()
	return err
}

// ask asks for the apps in turn until ctx ends.
func (s *soak) ask(ctx context.Context, i int) {
	client := http.Client{Timeout: reloadPatience, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for ; ctx.Err() == nil; i++ {
		if err := s.answers(&client, soakApps[i%len(soakApps)].Name); err != nil {
			s.failed.Add(1)
			text := err.Error()
			s.first.CompareAndSwap(nil, &text)
		}
		s.requests.Add(1)
		_ = wait(ctx, soakPause)
	}
}

// answers wants an app to answer with a version of itself.
func (s *soak) answers(client *http.Client, app string) error {
	response, err := client.Get("http://" + s.running.Address + "/" + app)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && (response.StatusCode != http.StatusOK || !strings.HasPrefix(string(text), "version ")) {
		err = errors.New("no version")
	}
	if err != nil {
		return fmt.Errorf("%s: %s: %.100q: %w", app, response.Status, text, err)
	}
	return nil
}

// call calls the admin API, and wants one of some statuses.
func (s *soak) call(method, path, kind, body string, want ...int) ([]byte, error) {
	request, err := http.NewRequest(method, "http://nano/v1/"+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", kind)
	response, err := s.control.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	for _, status := range append(want, http.StatusOK) {
		if response.StatusCode == status {
			return text, nil
		}
	}
	return nil, fmt.Errorf("%s %s: %s: %.200s", method, path, response.Status, text)
}

func (s *soak) reload() error {
	_, err := s.call("POST", "reload", "application/json", "")
	return err
}

// soakChanges are the ways to change an app. Ones that must fail leave the app as it is.
var soakChanges = []struct {
	what string
	do   func(s *soak, app, version int) error
}{
	{"a file", func(s *soak, app, version int) error { return errors.Join(s.write(app, version), s.reload()) }},
	{"an upload", func(s *soak, app, version int) error {
		_, err := s.call("PUT", "apps/"+soakApps[app].Name, soakApps[app].Type, fmt.Sprintf(soakApps[app].Text, version), http.StatusCreated)
		return err
	}},
	{"a rollback", func(s *soak, app, _ int) error {
		_, err := s.call("POST", "apps/"+soakApps[app].Name+"/rollback", "application/json", "")
		return err
	}},
	{"a split", (*soak).split},
	{"nothing", func(s *soak, _, _ int) error { return s.reload() }},
	{"a broken file", func(s *soak, app, version int) error { return s.breakFile(app, version, "export default {") }},
	{"a file that throws", func(s *soak, app, version int) error { return s.breakFile(app, version, "throw new Error()") }},
	{"an app that is ill", func(s *soak, app, version int) error {
		return s.breakFile(app, version, fmt.Sprintf("export default { fetch: () => new Response(%d, { status: 503 }) }", version))
	}},
	{"an upload that breaks off", (*soak).breakUpload},
	{"sleep", func(s *soak, app, _ int) error {
		_, err := s.call("POST", "apps/"+soakApps[app].Name+"/sleep", "application/json", "")
		return err
	}},
	{"an app that comes and goes", (*soak).comeAndGo},
}

// split divides an app's requests between its last two versions.
func (s *soak) split(app, _ int) error {
	path := "apps/" + soakApps[app].Name
	text, err := s.call("GET", path, "", "")
	if err != nil {
		return err
	}
	var known struct{ Versions []struct{ ID string } }
	if err := json.Unmarshal(text, &known); err != nil {
		return fmt.Errorf("versions: %.200s: %w", text, err)
	}
	if len(known.Versions) < 2 {
		return fmt.Errorf("versions: there is but one: %.200s", text)
	}
	weights := fmt.Sprintf(`{"weights": {%q: 50, %q: 50}}`, known.Versions[0].ID, known.Versions[1].ID)
	_, err = s.call("POST", path+"/split", "application/json", weights)
	return err
}

// breakFile reloads an app from a file that cannot serve, and writes one again that can.
func (s *soak) breakFile(app, version int, text string) error {
	one := soakApps[app]
	err := os.WriteFile(filepath.Join(s.folder, one.Name, one.File), []byte(text), 0o644)
	return errors.Join(err, s.reload(), s.write(app, version))
}

// breakUpload begins to upload an app, and goes away.
func (s *soak) breakUpload(app, _ int) error {
	connection, err := net.Dial("unix", controlSocket(s.folder))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(connection, "PUT /v1/apps/%s HTTP/1.1\r\nHost: nano\r\nContent-Type: %s\r\nContent-Length: 100000\r\n\r\nexport default {",
		soakApps[app].Name, soakApps[app].Type)
	return errors.Join(err, connection.Close())
}

// comeAndGo adds an app and removes it while it answers a request without end, and works on after another.
func (s *soak) comeAndGo(_, version int) error {
	name := fmt.Sprintf("guest%d", version)
	text := `export default { fetch(request, env, ctx) {
	ctx.waitUntil(new Promise((done) => setTimeout(done, 60_000)));
	return new Response(new ReadableStream({ async pull(to) {
		await new Promise((done) => setTimeout(done, 50));
		to.enqueue(new TextEncoder().encode("version"));
	} }));
} };`
	if _, err := s.call("PUT", "apps/"+name+"?path=/"+name, "application/javascript", text, http.StatusCreated); err != nil {
		return err
	}
	client := http.Client{Timeout: reloadPatience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + s.running.Address + "/" + name)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.ReadFull(response.Body, make([]byte, 8)); err != nil {
		return err
	}
	if _, err := s.call("DELETE", "apps/"+name, "", "", http.StatusNoContent); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, response.Body); err == nil {
		return errors.New("the stream of an app that was removed has ended well")
	}
	return nil
}

// sample brings all apps to the same state and measures the node when it rests.
func (s *soak) sample(ctx context.Context, changes int) (sample soakSample, err error) {
	sample.Changes = changes
	for app := range soakApps {
		if err := s.write(app, soakCount+changes); err != nil {
			return sample, err
		}
	}
	if err := s.reload(); err != nil {
		return sample, err
	}
	for _, one := range soakApps {
		if err := s.answers(http.DefaultClient, one.Name); err != nil {
			return sample, err
		}
	}
	http.DefaultClient.CloseIdleConnections()
	if err := errors.Join(wait(ctx, soakPagesKept), s.running.rest(ctx)); err != nil {
		return sample, err
	}
	at, err := readMemory(s.running.Process)
	if err != nil {
		return sample, err
	}
	sample.RSS = at.RSS
	descriptors, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.running.Process))
	sample.Descriptors = len(descriptors)
	return sample, errors.Join(err, filepath.Walk(filepath.Join(s.folder, ".nano"), func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			sample.StateFiles++
			sample.StateBytes += info.Size()
		}
		return nil // what goes meanwhile is not there
	}))
}

func (r *results) judgeSoak() []target {
	failed := target{Text: fmt.Sprintf("%s changes of all kinds: 0 failed requests", thousands(soakCount)), Verdict: notMeasured}
	flat := target{Text: fmt.Sprintf("%s changes of all kinds: memory grows by ≤ %s after the first fifth, descriptors do not, files at most double", thousands(soakCount), megabytes(soakGrowthMost)),
		Verdict: notMeasured}
	one := r.Soak
	if one == nil || one.Failure == "" && (len(one.Samples) < soakParts || one.Samples[soakParts-1].Changes != soakCount) {
		return []target{failed, flat}
	}
	failed.Measured = fmt.Sprintf("%d of %s", one.Failed, thousands(one.Requests))
	failed.Verdict, flat.Verdict = verdict(one.Failed == 0 && one.Failure == ""), missed
	if len(one.Samples) == soakParts {
		first, last := one.Samples[0], one.Samples[soakParts-1]
		grown := last.RSS - first.RSS
		flat.Measured = fmt.Sprintf("%+.1f MB, %+d descriptors, %+d files", float64(grown)/(1<<20), last.Descriptors-first.Descriptors, last.StateFiles-first.StateFiles)
		flat.Verdict = verdict(one.Failure == "" && grown <= soakGrowthMost && last.Descriptors <= first.Descriptors+soakDescriptors &&
			last.StateFiles <= first.StateFiles*2)
	}
	return []target{failed, flat}
}

func (r *results) writeSoak(page *strings.Builder) {
	if r.Soak == nil {
		return
	}
	one := r.Soak
	fmt.Fprintf(page, "## Changes of all kinds (`soak`)\n\n"+
		"Apps with a snapshot, in TypeScript and without a snapshot are changed by files, uploads, rollbacks, splits and sleep, by files that do not "+
		"serve and uploads that break off; others come and go while they stream. %d clients ask all the time. After each fifth the node comes to rest.\n\n"+
		"%s requests, %d failed. %s\n\n", soakClients, thousands(one.Requests), one.Failed, oneLine(one.Failure))
	var rows [][]string
	for _, sample := range one.Samples {
		rows = append(rows, []string{thousands(int64(sample.Changes)), megabytes(sample.RSS), fmt.Sprint(sample.Descriptors), fmt.Sprint(sample.StateFiles), megabytes(sample.StateBytes)})
	}
	writeTable(page, []string{"changes", "RSS", "descriptors", "files in state_dir", "their size"}, rows)
}
