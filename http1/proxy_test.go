package http1

import "testing"

// TestProxyAuthorization: what a proxy gets is ours to say, and what the app says about it goes nowhere.
func TestProxyAuthorization(t *testing.T) {
	for ours, want := range map[string]string{
		"":            "GET http://a/b HTTP/1.1\r\nhost: a\r\nx: y\r\naccept: */*\r\n\r\n",
		"Basic dTpw=": "GET http://a/b HTTP/1.1\r\nhost: a\r\nx: y\r\naccept: */*\r\nproxy-authorization: Basic dTpw=\r\n\r\n",
	} {
		got, err := AppendRequestHead(nil, &RequestHead{
			Method: []byte("GET"), Target: []byte("http://a/b"), Host: []byte("a"), ContentLength: -1, ProxyAuthorization: ours,
			Head: []byte("Proxy-Authorization: Basic bXk6b3du\r\nx: y\r\n"),
		})
		if err != nil || string(got) != want {
			t.Errorf("got %q, %v", got, err)
		}
	}
}
