package config

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"maps"
	"time"
)

// Secret is a value of [app.secrets]. Printing, logging or encoding it gives "[secret]"; only
// App.EnvJSON gives it away, to the app it belongs to.
type Secret string

const hiddenSecret = "[secret]"

// String hides the secret from fmt.
func (Secret) String() string { return hiddenSecret }

// GoString hides the secret from fmt's %#v.
func (Secret) GoString() string { return hiddenSecret }

// MarshalText hides the secret from encoders.
func (Secret) MarshalText() ([]byte, error) { return []byte(hiddenSecret), nil }

// LogValue hides the secret from log/slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(hiddenSecret) }

// EnvJSON is the app's env as a JSON object: its vars and its secrets, which have no names in
// common. The same app gives the same bytes. The result holds secrets in the clear: it is for the
// app's isolate and nothing else.
func (a *App) EnvJSON() []byte {
	env := make(map[string]any, len(a.Vars)+len(a.Secrets))
	maps.Copy(env, a.Vars)
	for name, secret := range a.Secrets {
		env[name] = string(secret)
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(env); err != nil {
		// Vars hold what readVars let through: strings, finite numbers, booleans, and tables and
		// arrays of them.
		panic("config: env of app " + a.Name + ": " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// AssetsName is the member of env by which an app reaches its static files.
const AssetsName = "ASSETS"

// BindingsJSON says as a JSON object what env has beside vars and secrets, how many sub-requests a request may
// make, and the steps of the clock in microseconds, in the terms of the runtime; "": nothing. The same app gives
// the same text.
func (a *App) BindingsJSON() string {
	// What is the runtime's own default is left out.
	subrequests := &a.Limits.Subrequests
	if *subrequests == subrequestsDefault {
		subrequests = nil
	}
	assets := ""
	if a.Static != "" {
		assets = AssetsName
	}
	clock := (a.clock + time.Microsecond - 1).Microseconds() // not finer than was said
	if a.clock == clockDefault {
		clock = 0
	}
	if len(a.Services) == 0 && assets == "" && subrequests == nil && clock == 0 {
		return ""
	}
	text, err := json.Marshal(struct {
		Services    map[string]string `json:"services,omitempty"`
		Assets      string            `json:"assets,omitempty"`
		Subrequests *int              `json:"subrequests,omitempty"`
		Clock       int64             `json:"clock,omitempty"`
	}{a.Services, assets, subrequests, clock})
	if err != nil {
		panic("config: bindings of app " + a.Name + ": " + err.Error())
	}
	return string(text)
}
