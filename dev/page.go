package dev

import (
	"crypto/rand"
	_ "embed"
	"fmt"
	"html/template"
	"strings"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// page is what the template of a failure's page takes. It escapes all of it: what an app says of itself is whatever
// its requests have made it say.
type page struct {
	*failure
	Request string // its id in the log; "": none
	Nonce   string
	Live    template.JS // loads it anew
}

// render makes the page, and the lines of its head. It may load nothing, and run nothing but its own script.
func (p *page) render() (head, body string) {
	p.Nonce = rand.Text()
	var out strings.Builder
	if err := pageTemplate.Execute(&out, p); err != nil {
		return textHead, p.text() // a fault of the template, not of what is shown
	}
	policy := fmt.Sprintf("default-src 'none'; style-src 'nonce-%s'; script-src 'nonce-%s'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
		p.Nonce, p.Nonce)
	return "content-type: text/html; charset=utf-8\r\ncache-control: no-store\r\ncontent-security-policy: " + policy +
		"\r\nx-content-type-options: nosniff\r\n", out.String()
}

// textHead are the header lines of a failure as plain text.
const textHead = "content-type: text/plain; charset=utf-8\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\n"
