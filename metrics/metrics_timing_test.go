package metrics

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// BenchmarkScrape is a scrape of as many apps as have series of their own, all in use.
func BenchmarkScrape(b *testing.B) {
	node := &fakeNode{}
	for i := range 1000 {
		node.accounts = append(node.accounts, account(fmt.Sprint("app-", i), uint64(10+i)))
	}
	handler := New(Options{Source: node, AppsMax: 1000})
	b.ReportAllocs()
	for b.Loop() {
		handler.ServeHTTP(sink{}, httptest.NewRequest("GET", "/metrics", nil))
	}
}

// sink is a http.ResponseWriter that keeps nothing.
type sink struct{}

func (sink) Header() http.Header            { return http.Header{} }
func (sink) Write(text []byte) (int, error) { return io.Discard.Write(text) }
func (sink) WriteHeader(int)                {}
