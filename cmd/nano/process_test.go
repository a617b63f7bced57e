package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// actAsNano makes the test binary behave as nano itself: tests then start real processes, without
// building a second binary.
const actAsNano = "NANO_TEST_ACT_AS_NANO"

func TestMain(m *testing.M) {
	if filter := os.Getenv(actUnderFilter); filter != "" {
		panic(confine(filter))
	}
	if os.Getenv(actAsNano) != "" {
		main()
	}
	code := m.Run()
	if cache, err := cacheFolder(); err == nil {
		os.RemoveAll(cache)
	}
	os.Exit(code)
}

// patience is how long a test waits for what must come; it bounds failures, and measures nothing.
const patience = 30 * time.Second

// repository is the root of the repository.
func repository(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// cacheFolder is what nano run takes for the user's cache, one for all tests.
var cacheFolder = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "nano-test-cache-") })

// command prepares nano with arguments, in the root of the repository.
func nanoCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cache, err := cacheFolder()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(self, args...)
	command.Dir = repository(t)
	command.Env = append(os.Environ(), actAsNano+"=1", "XDG_CACHE_HOME="+cache)
	return command
}

// run runs nano to its end.
func runNano(t *testing.T, args ...string) (exit int, out, stderr string) {
	t.Helper()
	command := nanoCommand(t, args...)
	var outBuffer, errBuffer bytes.Buffer
	command.Stdout, command.Stderr = &outBuffer, &errBuffer
	err := command.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	return command.ProcessState.ExitCode(), outBuffer.String(), errBuffer.String()
}

// process is a running nano.
type process struct {
	t       *testing.T
	command *exec.Cmd
	url     string // of the first address, without slash at the end
	banner  []string
	ended   chan struct{}

	mutex  sync.Mutex
	log    []string
	logged chan struct{} // closed and replaced with every line
}

// startNano starts nano with arguments and waits for its banner, a line for each of its addresses. It is stopped
// at the end of the test.
func startNano(t *testing.T, addresses int, args ...string) *process {
	t.Helper()
	return startCommand(t, addresses, nanoCommand(t, args...))
}

// startCommand is startNano for a command that was prepared further.
func startCommand(t *testing.T, addresses int, command *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, command: command, ended: make(chan struct{}), logged: make(chan struct{})}
	out, err := p.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := p.command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	banner := make(chan string, addresses)
	var readers sync.WaitGroup
	readers.Go(func() {
		defer close(banner)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			select {
			case banner <- lines.Text():
			default: // of a process that has taken its place
			}
		}
	})
	readers.Go(func() { p.readLog(stderr) })
	go func() {
		readers.Wait()
		p.command.Wait() // how it ended, tests ask of ProcessState
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.command.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("the log of nano:\n%s", p.logText())
		}
	})
	deadline := time.After(patience)
	for range addresses {
		select {
		case line, ok := <-banner:
			if !ok {
				t.Fatalf("nano ended at its start:\n%s", p.logText())
			}
			p.banner = append(p.banner, line)
		case <-deadline:
			t.Fatal("nano does not say that it serves")
		}
	}
	if addresses > 0 {
		_, p.url, _ = strings.Cut(p.banner[0], " on ")
	}
	return p
}

func (p *process) readLog(from io.Reader) {
	for lines := bufio.NewScanner(from); lines.Scan(); {
		p.mutex.Lock()
		p.log = append(p.log, lines.Text())
		close(p.logged)
		p.logged = make(chan struct{})
		p.mutex.Unlock()
	}
}

func (p *process) logText() string {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return strings.Join(p.log, "\n")
}

// waitForLog waits until a line of the log holds text, and gives the line.
func (p *process) waitForLog(text string) string {
	p.t.Helper()
	deadline := time.After(patience)
	for {
		p.mutex.Lock()
		for _, line := range p.log {
			if strings.Contains(line, text) {
				p.mutex.Unlock()
				return line
			}
		}
		changed := p.logged
		p.mutex.Unlock()
		select {
		case <-changed:
		case <-p.ended:
			// What came last may be what is waited for.
			if !strings.Contains(p.logText(), text) {
				p.t.Fatalf("nano has ended and not logged %q:\n%s", text, p.logText())
			}
		case <-deadline:
			p.t.Fatalf("nano does not log %q:\n%s", text, p.logText())
		}
	}
}

func (p *process) signal(signal syscall.Signal) {
	p.t.Helper()
	if err := p.command.Process.Signal(signal); err != nil {
		p.t.Fatal(err)
	}
}

// waitForExit waits for the end and gives the exit code.
func (p *process) waitForExit() int {
	p.t.Helper()
	select {
	case <-p.ended:
		return p.command.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatalf("nano does not end:\n%s", p.logText())
		return -1
	}
}

// answer is a response with its body.
type answer struct {
	status int
	header http.Header
	body   string
}

// send sends a request for a URL of the process, to host if it is not "".
func (p *process) send(method, path, host, body string, header ...string) (answer, error) {
	request, err := http.NewRequest(method, p.url+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	request.Host = host
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	client := http.Client{
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(content)}, err
}

// ask is send for requests that must be answered.
func (p *process) ask(method, path, host, body string, header ...string) answer {
	p.t.Helper()
	got, err := p.send(method, path, host, body, header...)
	if err != nil {
		p.t.Fatal(err)
	}
	return got
}

// expect asks and compares.
func (p *process) expect(method, path, host, body string, status int, want string) answer {
	p.t.Helper()
	got := p.ask(method, path, host, body)
	if got.status != status || got.body != want {
		p.t.Errorf("%s %s: %d %q, want %d %q", method, path, got.status, got.body, status, want)
	}
	return got
}

// curl asks with curl, where there is one, and gives what it prints.
func (p *process) curl(args ...string) (printed string, ok bool) {
	p.t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		p.t.Log("without curl, this test asks with Go's client only: apt-get install curl")
		return "", false
	}
	output, err := exec.Command("curl", append([]string{"-sS", "--max-time", "60"}, args...)...).CombinedOutput()
	if err != nil {
		p.t.Fatalf("curl %s: %v: %s", strings.Join(args, " "), err, output)
	}
	return string(output), true
}

// copyNode copies a folder of apps with a nano.toml, and makes it listen on a free port.
func copyNode(t *testing.T, toml string, folder string) (file string) {
	t.Helper()
	root, into := repository(t), t.TempDir()
	if err := os.CopyFS(filepath.Join(into, folder), os.DirFS(filepath.Join(root, folder))); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, toml))
	if err != nil {
		t.Fatal(err)
	}
	const listen = `listen = ["127.0.0.1:8080"]`
	if !strings.Contains(string(text), listen) {
		t.Fatalf("%s does not have %s", toml, listen)
	}
	free := strings.Replace(string(text), listen, `listen = ["127.0.0.1:0"]`, 1)
	file = filepath.Join(into, toml)
	if err := os.WriteFile(file, []byte(free), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// writeFiles writes files into a new folder and gives its path.
func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for _, name := range slices.Sorted(maps.Keys(files)) { // a precompressed sibling must not be older than its file
		path, text := filepath.Join(folder, name), files[name]
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}
