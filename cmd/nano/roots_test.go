package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"runtime"
	"testing"
)

// TestRootsAreShared: apps with the same authorities share them, and those that no app has any more are forgotten,
// however often their file changes.
func TestRootsAreShared(t *testing.T) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var made loopApps
	file := func(i int) []byte {
		template := &x509.Certificate{SerialNumber: big.NewInt(int64(i)), IsCA: true, BasicConstraintsValid: true}
		certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	}
	if made.roots(nil) != nil {
		t.Error("not the system's")
	}
	first := file(0)
	kept := made.roots(first)
	for i := 1; i <= 20; i++ {
		if pool := made.roots(file(i)); pool == nil || pool == kept {
			t.Fatalf("file %d: %p", i, pool)
		}
	}
	runtime.GC()
	made.roots(file(21))
	if len(made.authorities) != 2 {
		t.Errorf("%d are remembered, want those of two files", len(made.authorities))
	}
	if made.roots(first) != kept {
		t.Error("not shared")
	}
}
