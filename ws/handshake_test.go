package ws

import "testing"

func TestAccept(t *testing.T) {
	const key = "dGhlIHNhbXBsZSBub25jZQ==" // of RFC 6455 §1.3
	if got := string(AppendAccept(nil, []byte(key))); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Errorf("got %s", got)
	}
	if got := string(AppendKey(nil, [16]byte([]byte("the sample nonce")))); got != key || !IsKey([]byte(got)) {
		t.Errorf("got %s", got)
	}
	for _, bad := range []string{"", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQaa", "dGhlIHNhbXBsZSBub25jZ===", "!GhlIHNhbXBsZSBub25jZQ=="} {
		if IsKey([]byte(bad)) {
			t.Errorf("%q is taken for a key", bad)
		}
	}
}

func TestExtensionsAreChosen(t *testing.T) {
	const plain = Offer
	for _, c := range []struct {
		offer, answer string
		bits          uint8
	}{
		{"", "", 0},
		{"permessage-deflate", plain, 15},
		{"permessage-deflate; client_max_window_bits", plain, 15},
		{"x-webkit-deflate-frame, permessage-deflate;client_max_window_bits = 10 ", plain, 15},
		{"permessage-deflate; server_max_window_bits=10", plain + "; server_max_window_bits=10", 10},
		{`permessage-deflate; server_max_window_bits="9"`, plain + "; server_max_window_bits=9", 9},
		{"permessage-deflate; server_max_window_bits=16, permessage-deflate", plain, 15},
		{"permessage-deflate; server_max_window_bits", "", 0},
		{"permessage-deflate; server_max_window_bits=08", "", 0},
		{"permessage-deflate; server_max_window_bits=7", "", 0},
		{"permessage-deflate; client_max_window_bits=16", "", 0},
		{"permessage-deflate; server_no_context_takeover=1", "", 0},
		{"permessage-deflate; server_no_context_takeover; server_no_context_takeover", "", 0},
		{"permessage-deflate; unknown", "", 0},
		{"permessage-deflate; server_no_context_takeover; client_no_context_takeover", plain, 15},
		{"permessage-deflate;", "", 0},
		{"permessage-deflate x", "", 0},
		{`permessage-deflate; server_max_window_bits="9`, "", 0},
		{",, foo; a=b; c ,permessage-deflate", plain, 15},
	} {
		d, answer := Accept([]byte(c.offer))
		if answer != c.answer || d.WindowBits != c.bits || d.IsOn != (answer != "") || d.KeepsContext {
			t.Errorf("%s: got %q %+v", c.offer, answer, d)
		}
	}
}

func TestAnswersAreChecked(t *testing.T) {
	for _, c := range []struct {
		answer string
		want   Deflate
		ok     bool
	}{
		{"", Deflate{}, true},
		{Offer, Deflate{IsOn: true, WindowBits: 15}, true},
		{"permessage-deflate; server_no_context_takeover", Deflate{IsOn: true, WindowBits: 15}, true},
		{"permessage-deflate", Deflate{IsOn: true, WindowBits: 15, KeepsContext: true}, true},
		{"permessage-deflate; server_max_window_bits=9", Deflate{IsOn: true, WindowBits: 15, KeepsContext: true}, true},
		{"permessage-deflate; client_max_window_bits=9", Deflate{}, false},
		{"permessage-deflate, permessage-deflate", Deflate{}, false},
		{"permessage-deflate; x", Deflate{}, false},
		{"foo", Deflate{}, false},
		{";", Deflate{}, false},
	} {
		if d, ok := Agreed([]byte(c.answer)); d != c.want || ok != c.ok {
			t.Errorf("%q: got %+v %v", c.answer, d, ok)
		}
	}
}
