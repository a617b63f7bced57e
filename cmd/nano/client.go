package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nano/config"
)

// controlSocketFile is where a node listens for the command line, in its state folder.
const controlSocketFile = "control.sock"

// target is which node a command asks, by its flags.
type target struct {
	config, url, tokenFile *string
	json                   *bool
}

// targetFlags adds the flags of commands that ask a node.
func targetFlags(flags *commandFlags) *target {
	return &target{
		config:    flags.String("c", "nano.toml", "the configuration `file` of a node on this machine"),
		url:       flags.String("admin", "", "the `URL` of [admin] of another node, http://10.0.0.5:9090 for example; unix:/path is one, too"),
		tokenFile: flags.String("token-file", "", "the `file` with its token"),
		json:      flags.Bool("json", false, "print JSON, for machines"),
	}
}

// client asks a node by its admin interface.
type client struct {
	http  *http.Client
	url   string // without slash at the end
	token string
	where string // the node, for people
	json  bool
}

// callPatience is for how long a node may let an answer wait. A build and the end of requests take their time.
const callPatience = 6 * time.Minute

// connect finds the node. Nothing is sent yet.
func (t *target) connect() (*client, error) {
	c := &client{json: *t.json}
	if *t.tokenFile != "" {
		if *t.url == "" {
			return nil, usageError{"--token-file goes with --admin"}
		}
		text, err := os.ReadFile(*t.tokenFile)
		if err != nil {
			return nil, fmt.Errorf("--token-file %s: %w", *t.tokenFile, config.WithoutPath(err))
		}
		c.token = strings.TrimRight(string(text), "\r\n")
	}
	socket, isSocket := strings.CutPrefix(*t.url, "unix:")
	switch {
	case *t.url == "":
		folder, err := config.StateDir(*t.config)
		if err != nil {
			return nil, err
		}
		socket, isSocket = filepath.Join(folder, controlSocketFile), true
		c.where = "the node of " + *t.config
	case isSocket:
		c.where = *t.url
	default:
		parsed, err := url.Parse(*t.url)
		if err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "" {
			return nil, usageError{fmt.Sprintf("--admin %q: write http://host:port, https://host:port or unix:/path", *t.url)}
		}
		c.where, c.url = *t.url, strings.TrimRight(*t.url, "/")
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: callPatience}
	if isSocket {
		c.url = "http://localhost"
		transport.Proxy = nil
		transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
			return dialSocket(filepath.Split(socket))
		}
	}
	c.http = &http.Client{Transport: transport}
	return c, nil
}

// open sends a request and gives its answer if that is a good one. The caller closes it.
func (c *client) open(ctx context.Context, method, path string, kind string, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.url+path, body)
	if err != nil {
		return nil, err
	}
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.explain(err)
	}
	if response.StatusCode < 300 {
		return response, nil
	}
	defer response.Body.Close()
	return nil, c.refusal(response)
}

// explain says why a node could not be asked.
func (c *client) explain(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
		return fmt.Errorf("%s does not run: start it with `nano serve`, or name another one with -c or --admin", c.where)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: only its own user may change it: use sudo -u, or --admin", c.where)
	}
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err
	}
	return fmt.Errorf("%s: %w", c.where, err)
}

// answerTextMax bounds what is read of an answer that is an error.
const answerTextMax = 1 << 20

// refusal is an answer that says what went wrong.
func (c *client) refusal(response *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(response.Body, answerTextMax))
	var problem struct {
		Error       string
		Diagnostics []string
	}
	switch err := json.Unmarshal(text, &problem); {
	case err != nil || problem.Error == "":
		return fmt.Errorf("%s: status %d: is that the [admin] address of a node?", c.where, response.StatusCode)
	case response.StatusCode == http.StatusUnauthorized:
		return fmt.Errorf("%s: %s: name its file with --token-file", c.where, strings.SplitN(problem.Error, ":", 2)[0])
	case len(problem.Diagnostics) != 0:
		return errors.New(strings.Join(problem.Diagnostics, "\n"))
	}
	return errors.New(problem.Error)
}

// call asks for JSON. send is what to send as JSON, nil for nothing; into may be nil.
func (c *client) call(ctx context.Context, method, path string, send, into any) error {
	var body io.Reader
	kind := ""
	if send != nil {
		text, err := json.Marshal(send)
		if err != nil {
			return err
		}
		body, kind = bytes.NewReader(text), "application/json"
	}
	response, err := c.open(ctx, method, path, kind, body)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if into == nil {
		return nil
	}
	return c.decode(response.Body, into)
}

func (c *client) decode(body io.Reader, into any) error {
	if err := json.NewDecoder(body).Decode(into); err != nil {
		return fmt.Errorf("%s: its answer cannot be read: %w", c.where, err)
	}
	return nil
}

// printJSON prints a value for machines.
func printJSON(to io.Writer, value any) error {
	encoder := json.NewEncoder(to)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// save writes what a node sends to a file, whole or not at all.
func (c *client) save(ctx context.Context, path, file string) (size int64, err error) {
	response, err := c.open(ctx, "GET", path, "", nil)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	temporary, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*")
	if err != nil {
		return 0, fmt.Errorf("%s: %w", file, config.WithoutPath(err))
	}
	size, err = io.Copy(temporary, response.Body)
	if err != nil {
		err = fmt.Errorf("%s: it broke off: %w", c.where, err)
	}
	if closed := temporary.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(temporary.Name(), file)
	}
	if err != nil {
		_ = os.Remove(temporary.Name())
	}
	return size, err
}
