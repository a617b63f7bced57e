package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"nano/admin"
)

// adminNode is a running node with an [admin] address.
type adminNode struct {
	*process
	t             *testing.T
	configuration string
	url, token    string
}

var adminAddress = regexp.MustCompile(`http://[\d.]+:\d+`)

// startAdminNode runs a node of one loop, whose admin address it finds in the log.
func startAdminNode(t *testing.T, token string, apps map[string]string) *adminNode {
	t.Helper()
	var toml strings.Builder
	toml.WriteString("[server]\nlisten = [\"127.0.0.1:0\"]\nloops = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n")
	files := map[string]string{}
	if token != "" {
		toml.WriteString("token_file = \"token\"\n")
		files["token"] = token + "\n"
	}
	for name, source := range apps {
		files[name+".js"] = source
		fmt.Fprintf(&toml, "[[app]]\nname = %q\nmain = \"%s.js\"\npath = \"/%s\"\n", name, name, name)
	}
	files["nano.toml"] = toml.String()
	folder := writeFiles(t, files)
	configuration := filepath.Join(folder, "nano.toml")
	n := &adminNode{t: t, configuration: configuration, token: token}
	n.process = startNano(t, 1, "serve", "-c", configuration)
	n.url = adminAddress.FindString(n.waitForLog("admin interface on"))
	return n
}

// call asks the admin address.
func (n *adminNode) call(method, path, kind, body string) (status int, answer string) {
	n.t.Helper()
	request, err := http.NewRequest(method, n.url+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	request.Header.Set("Content-Type", kind)
	if n.token != "" {
		request.Header.Set("Authorization", "Bearer "+n.token)
	}
	client := &http.Client{Timeout: patience}
	response, err := client.Do(request)
	if err != nil {
		n.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// TestAdmin drives a real node by its address and by the commands.
func TestAdmin(t *testing.T) {
	n := startAdminNode(t, "a-token", map[string]string{
		"hello": `export default { fetch(request) { console.log("asked for", request.url); return new Response("one"); } };`,
		"loud":  `export default { fetch() { throw new Error("no"); } };`,
	})
	for range 5 {
		n.expect("GET", "/hello", "", "", 200, "one")
	}
	n.ask("GET", "/loud", "", "")
	_, listed := n.call("GET", "/v1/apps", "", "")
	exit, out, stderr := order("logs", "hello", "--json", "-c", n.configuration)
	version := regexp.MustCompile(`"version":"[0-9a-f]{12}"`).FindString(out)
	if exit != 0 || version == "" || strings.Count(out, version) != 5 || !strings.Contains(listed, strings.Replace(version, "version", "id", 1)) {
		t.Errorf("versions of lines: exit %d: %s%s\n%s", exit, out, stderr, listed)
	}

	for _, path := range []string{"/healthz", "/readyz"} {
		if status, answer := n.call("GET", path, "", ""); status != 200 {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
	token := n.token
	n.token = "another"
	if status, answer := n.call("GET", "/v1/apps", "", ""); status != 401 {
		t.Errorf("a wrong token: %d %s", status, answer)
	}
	n.token = token

	_, metrics := n.call("GET", "/metrics", "", "")
	for _, want := range []string{
		"\nnano_app_requests_total{app=\"hello\"} 5\n", "\nnano_app_responses_total{app=\"hello\",class=\"2xx\"} 5\n",
		"\nnano_app_errors_total{app=\"loud\",kind=\"uncaught\"} 1\n", "\nnano_app_response_seconds_count{app=\"hello\"} 5\n",
		"\nnano_loop_responsive{lane=\"normal\",loop=\"0\"} 1\n", "\nnano_ready 1\n", "\nnano_apps{state=\"warm\"} 2\n",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	if match := regexp.MustCompile(`nano_loop_completions_per_tick_sum\{[^}]*\} (\d+)`).FindStringSubmatch(metrics); match == nil || match[1] == "0" {
		t.Errorf("completions: %v", match)
	}

	// A second version, back, and divided.
	status, answer := n.call("PUT", "/v1/apps/hello", "application/javascript", `export default { fetch() { return new Response("two"); } };`)
	var second admin.Version
	if err := json.Unmarshal([]byte(answer), &second); status != 200 || err != nil || len(second.ID) != 12 {
		t.Fatalf("deploy: %d %s", status, answer)
	}
	n.expect("GET", "/hello", "", "", 200, "two")
	if status, answer := n.call("PUT", "/v1/apps/hello", "application/javascript", `export default { fetch() {`); status != 422 || !strings.Contains(answer, "error") {
		t.Errorf("a broken one: %d %s", status, answer)
	}
	n.expect("GET", "/hello", "", "", 200, "two")
	if exit, out, stderr := order("apps", "rollback", "hello", "-c", n.configuration); exit != 0 {
		t.Errorf("rollback: %d %s%s", exit, out, stderr)
	}
	n.expect("GET", "/hello", "", "", 200, "one")
	if exit, out, stderr := order("apps", "split", "hello", second.ID+"=1", "-c", n.configuration); exit != 0 {
		t.Errorf("split: %d %s%s", exit, out, stderr)
	}
	n.expect("GET", "/hello", "", "", 200, "two")

	// An app of its own.
	if status, answer := n.call("PUT", "/v1/apps/added?path=/added", "text/javascript", `export default { fetch() { return new Response("added"); } };`); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	n.expect("GET", "/added", "", "", 200, "added")
	if status, answer := n.call("DELETE", "/v1/apps/added", "", ""); status != 204 {
		t.Errorf("%d %s", status, answer)
	}
	if got := n.ask("GET", "/added", "", ""); got.status != 404 {
		t.Errorf("%+v", got)
	}

	// Asleep and awake.
	if exit, out, _ := order("apps", "sleep", "hello", "-c", n.configuration); exit != 0 || !strings.Contains(out, "asleep") {
		t.Errorf("%d %s", exit, out)
	}
	if exit, out, _ := order("apps", "wake", "hello", "-c", n.configuration); exit != 0 || !strings.Contains(out, "warm") {
		t.Errorf("%d %s", exit, out)
	}
	for _, command := range [][]string{{"apps"}, {"apps", "show", "hello"}, {"top", "--once", "--interval", "100ms"}, {"reload"}, {"logs"}} {
		if exit, out, stderr := order(append(command, "-c", n.configuration)...); exit != 0 || !strings.Contains(out, "hello") && command[0] != "reload" {
			t.Errorf("%v: %d %s%s", command, exit, out, stderr)
		}
	}
	tokenFile := filepath.Join(filepath.Dir(n.configuration), "token")
	if exit, out, stderr := order("apps", "--admin", n.url, "--token-file", tokenFile); exit != 0 || !strings.Contains(out, "hello") {
		t.Errorf("%d %s%s", exit, out, stderr)
	}
	// A token that was changed holds after a reload.
	if err := os.WriteFile(tokenFile, []byte("a-new-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if exit, _, stderr := order("reload", "-c", n.configuration); exit != 0 {
		t.Errorf("reload: %s", stderr)
	}
	if status, _ := n.call("GET", "/healthz", "", ""); status != 401 {
		t.Errorf("the old token: %d", status)
	}
	n.token = "a-new-token"
	if status, _ := n.call("GET", "/healthz", "", ""); status != 200 {
		t.Errorf("the new token: %d", status)
	}
}

// TestAdminProfiles takes what DevTools opens, of a real isolate.
func TestAdminProfiles(t *testing.T) {
	n := startAdminNode(t, "", map[string]string{
		"hello": `function work() { let s = 0; for (let i = 0; i < 1e5; i++) s += Math.sqrt(i); return s; }
export default { fetch() { return new Response(String(work() > 0)); } };`,
	})
	n.expect("GET", "/hello", "", "", 200, "true")
	folder := t.TempDir()
	heap, profile := filepath.Join(folder, "x.heapsnapshot"), filepath.Join(folder, "x.cpuprofile")
	if exit, out, stderr := order("apps", "heap", "hello", "-o", heap, "-c", n.configuration); exit != 0 {
		t.Fatalf("%d %s%s", exit, out, stderr)
	}
	var snapshot struct{ Snapshot struct{ Meta map[string]any } }
	if text, err := os.ReadFile(heap); err != nil || json.Unmarshal(text, &snapshot) != nil || snapshot.Snapshot.Meta["node_fields"] == nil {
		t.Errorf("no heap snapshot: %v", err)
	}
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				if response, err := http.Get(n.process.url + "/hello"); err == nil {
					io.Copy(io.Discard, response.Body)
					response.Body.Close()
				}
			}
		}
	}()
	exit, out, stderr := order("apps", "profile", "hello", "--seconds", "0.5", "-o", profile, "-c", n.configuration)
	close(stop)
	<-done
	if exit != 0 {
		t.Fatalf("%d %s%s", exit, out, stderr)
	}
	var nodes struct {
		Nodes []struct{ CallFrame struct{ FunctionName string } }
	}
	text, err := os.ReadFile(profile)
	if err != nil || json.Unmarshal(text, &nodes) != nil {
		t.Fatalf("no profile: %v", err)
	}
	if !strings.Contains(string(text), `"work"`) {
		t.Errorf("the profile of %d nodes does not show work()", len(nodes.Nodes))
	}
}

// TestAdminLogs follows the log of a real node, which ends the stream when it ends.
func TestAdminLogs(t *testing.T) {
	n := startAdminNode(t, "", map[string]string{"hello": `export default { fetch() { console.log("live line"); return new Response("x"); } };`})
	response, err := http.Get(n.url + "/v1/apps/hello/logs")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	n.expect("GET", "/hello", "", "", 200, "x")
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() && !strings.Contains(lines.Text(), "live line") {
	}
	if !strings.Contains(lines.Text(), `"app":"hello"`) {
		t.Fatalf("got %q, %v", lines.Text(), lines.Err())
	}
	n.signal(syscall.SIGTERM)
	for lines.Scan() {
	}
	if err := lines.Err(); err != nil {
		t.Errorf("the stream does not end as it should: %v", err)
	}
	if exit := n.waitForExit(); exit != 0 {
		t.Errorf("exit code %d", exit)
	}
}
