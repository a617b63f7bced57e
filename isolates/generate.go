package isolates

// The headers of V8 and of Ada lie in the module cache, which cgo cannot name: link them here.
//go:generate sh -c "ln -sfn \"$(go list -m -f '{{.Dir}}' rogchap.com/v8go)/deps/include\" include"
//go:generate sh -c "ln -sfn \"$(go list -m -f '{{.Dir}}' github.com/ada-url/goada)\" ada"
